-- Callbacks in a backend's own shape, progress callbacks, and the health of destinations (docs/adr/0029).

-- callback_profile: the shape that the job chose by name. callback_progress: its backend is called while it runs, too.
ALTER TABLE jobs ADD COLUMN callback_profile text, ADD COLUMN callback_progress boolean NOT NULL DEFAULT false;

-- kind: outcome, progress (one row a run: its newest progress is in `runs`) or batch (job_id is the batch's id).
-- state, besides those of 0002: skipped (its profile sends nothing then), superseded (progress of a run that has ended).
-- profile: as in jobs. body: the event's data, of a batch. held_until: no try of this progress is in flight after this time,
-- whatever became of its notifier.
ALTER TABLE deliveries ADD COLUMN profile text, ADD COLUMN body jsonb, ADD COLUMN held_until timestamptz;

-- Destinations as notifiers see them. circuit: closed, open or half-open.
CREATE TABLE destinations (
    destination   text PRIMARY KEY,
    circuit       text NOT NULL,
    retry_at      timestamptz,
    last_error    text,
    last_error_at timestamptz,
    changed_at    timestamptz NOT NULL
);
-- Tries by destination and hour.
CREATE TABLE destination_hours (
    destination text NOT NULL,
    hour        timestamptz NOT NULL,
    delivered   bigint NOT NULL,
    failed      bigint NOT NULL,
    PRIMARY KEY (destination, hour)
);
