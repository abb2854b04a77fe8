-- A delivery that is sent again begins a new series of tries: `tries_before` of its tries do not count for the schedule.
ALTER TABLE deliveries ADD COLUMN tries_before integer NOT NULL DEFAULT 0;

-- The health of destinations (0017 had it without tenants, one of whom must see nothing of another).
DROP TABLE destinations;
DROP TABLE destination_hours;
CREATE TABLE destination_hours (
    tenant        text NOT NULL,
    destination   text NOT NULL,
    hour          timestamptz NOT NULL,
    delivered     bigint NOT NULL,
    failed        bigint NOT NULL,
    last_error    text,
    last_error_at timestamptz,
    PRIMARY KEY (tenant, destination, hour)
);
-- Circuits that are open, as the notifier that opened them sees it. A row without retry_at: closed again.
CREATE TABLE circuits (
    destination text PRIMARY KEY,
    retry_at    timestamptz,
    changed_at  timestamptz NOT NULL
);
-- Batches whose jobs may have ended are looked at then.
ALTER TABLE batches ADD COLUMN check_at timestamptz NOT NULL DEFAULT now();
