-- Orders and what became of them, and payloads of jobs that were accepted here (docs/adr/0013).

-- Somebody asked for a run to stop. The row may come before the run's; it is open until the run has ended.
-- due_at: when the timekeeper looks at it next. requested_at is the asker's clock, read_at ours.
CREATE TABLE cancels (
    job_id       uuid NOT NULL,
    run          integer NOT NULL,
    requested_at timestamptz NOT NULL,
    requested_by text NOT NULL,
    reason       text NOT NULL,
    read_at      timestamptz NOT NULL DEFAULT now(),
    due_at       timestamptz NOT NULL DEFAULT now(),
    ended_at     timestamptz,
    PRIMARY KEY (job_id, run)
);
CREATE INDEX cancels_open ON cancels (due_at) WHERE ended_at IS NULL;

-- The last order to each processor (action: pause, resume), and each worker's last answer (action: paused, resumed).
CREATE TABLE controls (
    processor    text PRIMARY KEY,
    action       text NOT NULL,
    requested_at timestamptz NOT NULL,
    requested_by text NOT NULL,
    reason       text NOT NULL
);
CREATE TABLE control_answers (
    processor text NOT NULL,
    worker_id text NOT NULL,
    action    text NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (processor, worker_id)
);

-- Requests as they travel: key, value and headers ([[name, text], …]) of the record. For jobs accepted by a committed row, and
-- for custody by lease.
-- check_at: when to look whether the log has it, and to send it again if not; null for a row that came from the log.
CREATE TABLE payloads (
    job_id      uuid NOT NULL,
    run         integer NOT NULL,
    processor   text NOT NULL,
    lane        text NOT NULL,
    key         bytea NOT NULL,
    value       bytea NOT NULL,
    headers     jsonb NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT now(),
    check_at    timestamptz,
    PRIMARY KEY (job_id, run)
);
CREATE INDEX payloads_to_check ON payloads (check_at) WHERE check_at IS NOT NULL;
