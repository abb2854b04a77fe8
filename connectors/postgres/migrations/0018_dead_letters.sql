-- Records of the topic `dead-letters`, one row a place: what operators list, redrive and drop. The record itself stays in the log.
-- No contents: `summary` is the message without numbers, ids and quoted values, and is cleared when the job's case is erased.
CREATE TABLE dead_letters (
    topic_id         uuid NOT NULL,
    partition        integer NOT NULL,
    "offset"         bigint NOT NULL,
    at               timestamptz NOT NULL,
    reason           text NOT NULL,
    fingerprint      text NOT NULL,
    summary          text,
    processor        text NOT NULL,           -- '' if neither its origin nor the record names one
    origin_topic     text NOT NULL,
    origin_partition integer NOT NULL,
    origin_offset    bigint NOT NULL,         -- -1: not known
    job_id           uuid,                    -- as the record or its headers say
    run              integer,
    bytes            integer,                 -- of the value; NULL if it was published without its value
    attempts         integer NOT NULL,
    worker           text NOT NULL,
    state            text NOT NULL DEFAULT 'open',    -- open | redriven | dropped
    changed_at       timestamptz,
    changed_by       text,
    note             text,
    replay_id        uuid,
    PRIMARY KEY (topic_id, partition, "offset")
);

CREATE INDEX dead_letters_by_time ON dead_letters (at);
CREATE INDEX dead_letters_open ON dead_letters (fingerprint, at) WHERE state = 'open';
CREATE INDEX dead_letters_by_job ON dead_letters (job_id) WHERE job_id IS NOT NULL;
