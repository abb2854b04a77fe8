-- Custody by lease (docs/adr/0014): one row a run that is to be claimed, is held, or waits for the sink to read its result. The
-- request itself is in `payloads`. A row goes when its run ends.
-- state: waiting (claimable), held (until expires_at), settled (its result is in the log), lost (given up: the timekeeper ends
-- it, and looks again at expires_at).
-- execution: starts of this attempt, of which `losses` ended by a lease that ran out; after `executions` of those it is given up.
-- rank: what is claimed first: when the run became claimable, ten minutes later for the bulk lane.
-- fence: rises with every grant; what carries another one is refused.
CREATE SEQUENCE lease_fences;
CREATE TABLE leases (
    job_id     uuid NOT NULL,
    run        integer NOT NULL,
    processor  text NOT NULL,
    lane       text NOT NULL,
    state      text NOT NULL,
    attempt    integer NOT NULL,
    execution  integer NOT NULL DEFAULT 1,
    losses     integer NOT NULL DEFAULT 0,
    executions integer NOT NULL DEFAULT 3,
    rank       timestamptz NOT NULL,
    worker     text,
    fence      bigint,
    claimed_at timestamptz,
    expires_at timestamptz,
    topic_id   uuid,
    partition  integer,
    "offset"   bigint,
    PRIMARY KEY (job_id, run)
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX leases_waiting ON leases (processor, rank) WHERE state = 'waiting';
CREATE INDEX leases_expiring ON leases (expires_at) WHERE expires_at IS NOT NULL;
