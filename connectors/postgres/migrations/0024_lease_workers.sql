-- When each worker last asked for a job: an idle one holds no lease by which it could be seen. Not logged: it is true for seconds.
CREATE UNLOGGED TABLE lease_workers (
    processor text NOT NULL,
    worker    text NOT NULL,
    seen_at   timestamptz NOT NULL,
    PRIMARY KEY (processor, worker)
);
