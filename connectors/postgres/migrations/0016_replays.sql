-- Replays: jobs to run again. The command only freezes a selection here; the leading timekeeper publishes its rows.

-- state: running, paused, done (no row waits), cancelled.
-- mode: replay (the new runs count), shadow (they never do; `to_version` runs them).
-- tenant: only its jobs; null: those of all. selection: what was asked for, for people.
-- callbacks: usual, none, or a URL in place of the job's own. edit: a JSON patch (RFC 6902) of the input, or null.
-- deadline: of each new run, from when it is published; null: none of its own.
-- rate: rows a second, null: no limit. next_at: when the rate allows the next row.
-- total = waiting + published + parked + failed.
CREATE TABLE replays (
    replay_id    uuid PRIMARY KEY,
    state        text NOT NULL,
    mode         text NOT NULL,
    to_version   text,
    tenant       text,
    selection    jsonb NOT NULL,
    requested_by text NOT NULL,
    reason       text NOT NULL,
    callbacks    text NOT NULL,
    edit         jsonb,
    deadline     interval,
    rate         double precision,
    next_at      timestamptz NOT NULL DEFAULT now(),
    total        integer NOT NULL,
    published    integer NOT NULL DEFAULT 0,
    parked       integer NOT NULL,
    failed       integer NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL DEFAULT now(),
    ended_at     timestamptz
);
CREATE INDEX replays_running ON replays (created_at) WHERE state = 'running';
CREATE INDEX replays_created ON replays (created_at, replay_id);

-- One row per record to publish, in the order `n`. `run` is fixed here, so that publishing a row twice makes one run.
-- source: request (of `from_run`) or dead-letter. job_id: null for a dead letter whose job the store does not know.
-- topic_id, partition, offset: the record to read again; null: it is in `payloads`.
-- state: waiting, published, parked (never to be published, as `reason` says), failed (it can't be).
-- due_at: not before then, because the record could not be read the last `tries` times.
CREATE TABLE replay_jobs (
    replay_id    uuid NOT NULL,
    n            integer NOT NULL,
    source       text NOT NULL,
    job_id       uuid,
    from_run     integer,
    run          integer,
    topic_id     uuid,
    partition    integer,
    "offset"     bigint,
    state        text NOT NULL,
    reason       text,
    tries        integer NOT NULL DEFAULT 0,
    due_at       timestamptz,
    published_at timestamptz,
    PRIMARY KEY (replay_id, n)
);
-- A run belongs to one replay. Also finds the replays of a job, and what the sink may accept with another input.
CREATE UNIQUE INDEX replay_jobs_run ON replay_jobs (job_id, run);
CREATE INDEX replay_jobs_waiting ON replay_jobs (replay_id, n) WHERE state = 'waiting';
