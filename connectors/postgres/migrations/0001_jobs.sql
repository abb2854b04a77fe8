-- What is known of jobs. No foreign keys anywhere: a result may be read before its request.
-- docs/adr/0003 says why no table is partitioned and how they are pruned; docs/adr/0004 how they are written.

-- Kafka topics by id, which outlives a topic that is deleted and created again under its name.
CREATE TABLE topics (
    topic_id uuid PRIMARY KEY,
    name     text NOT NULL
);

-- One row a job: what its first request said. `current_run` is the run that counts; a shadow run never becomes it.
CREATE TABLE jobs (
    job_id        uuid PRIMARY KEY,
    created_at    timestamptz NOT NULL,
    current_run   integer NOT NULL,
    tenant        text NOT NULL,
    processor     text NOT NULL,
    input_sha256  text NOT NULL,
    external_id   text,
    case_id       text,
    upload_id     text,
    batch_id      text,
    parent_job_id text,
    callback_url  text,
    labels        jsonb
);

-- One row a run: where it stands now. Rows only move forward by (attempt, state, execution, sequence).
-- topic_id, partition, offset: the request to read again for a retry.
CREATE TABLE runs (
    job_id       uuid NOT NULL,
    run          integer NOT NULL,
    mode         text NOT NULL,
    lane         text NOT NULL,
    state        text NOT NULL,
    attempt      integer NOT NULL,
    execution    integer NOT NULL,
    sequence     integer NOT NULL,
    owner        text,
    stage        text,
    percent      real,
    due_at       timestamptz,
    due_kind     text,
    deadline     timestamptz,
    topic_id     uuid,
    partition    integer,
    "offset"     bigint,
    requested_at timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, run)
);
-- The list of jobs, newest first, by keyset.
CREATE INDEX runs_requested ON runs (requested_at, job_id);
-- The rare states, so that looking for failures does not walk a million completed ones.
CREATE INDEX runs_not_completed ON runs (state, requested_at, job_id) WHERE state <> 'COMPLETED';
-- What waits for a time. Few rows: a run has a due time only while a retry or a deadline is ahead.
CREATE INDEX runs_due ON runs (due_at) WHERE due_at IS NOT NULL;

-- The arbiter: the first terminal result of a run takes its row here; whoever comes later is superseded.
CREATE TABLE outcomes (
    job_id        uuid NOT NULL,
    run           integer NOT NULL,
    status        text NOT NULL,
    attempt       integer NOT NULL,
    error_code    text,
    error_message text,
    fingerprint   text,
    output        jsonb,
    refs          jsonb,
    worker_id     text,
    device        text,
    model_version text,
    started_at    timestamptz,
    finished_at   timestamptz,
    run_ms        real,
    topic_id      uuid NOT NULL,
    partition     integer NOT NULL,
    "offset"      bigint NOT NULL,
    decided_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, run)
);
-- Rows arrive in the order of their time, so a few bytes per 32 pages find what is old enough to prune.
CREATE INDEX outcomes_decided ON outcomes USING brin (decided_at) WITH (pages_per_range = 32, autosummarize = on);

-- Every event that was read, by where it lies. The job leads the key, so that one index both finds a job's history and
-- refuses the same record twice.
CREATE TABLE history (
    job_id    uuid NOT NULL,
    topic_id  uuid NOT NULL,
    partition integer NOT NULL,
    "offset"  bigint NOT NULL,
    run       integer NOT NULL,
    attempt   integer NOT NULL,
    kind      text NOT NULL,
    at        timestamptz NOT NULL,
    body      jsonb,
    PRIMARY KEY (job_id, topic_id, partition, "offset")
);

-- How far each sink has come. `next_offset` moves in the statement that stores the batch, only while `epoch` is still the
-- sink's own; `published_offset` follows once the outcomes before it are confirmed in Kafka.
CREATE TABLE sink_offsets (
    group_id         text NOT NULL,
    topic_id         uuid NOT NULL,
    partition        integer NOT NULL,
    next_offset      bigint NOT NULL,
    published_offset bigint NOT NULL,
    epoch            bigint NOT NULL,
    PRIMARY KEY (group_id, topic_id, partition)
) WITH (fillfactor = 30, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
