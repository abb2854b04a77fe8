-- Tokens, quotas and batches of the HTTP gateway (docs/adr/0023).

-- A token is stored as its sha256 only, so that a copy of this table opens nothing. tenant '*': any tenant.
CREATE TABLE tokens (
    sha256     bytea PRIMARY KEY,
    name       text NOT NULL,
    tenant     text NOT NULL,
    scopes     text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
);
CREATE UNIQUE INDEX tokens_name ON tokens (name) WHERE revoked_at IS NULL;

-- Quotas of tenants. Null: no limit. A tenant without a row has the quotas of the settings.
CREATE TABLE tenants (
    tenant       text PRIMARY KEY,
    jobs_per_s   double precision,
    burst        integer,
    in_flight    integer,
    updated_at   timestamptz NOT NULL DEFAULT now()
);

-- Jobs that were submitted with one handle; `jobs.batch_id` refers to it. inputs_sha256: of all inputs in order, so that a
-- repeated submit is recognised. ended_at: all jobs have ended and the final callback is stored.
CREATE TABLE batches (
    batch_id         uuid PRIMARY KEY,
    tenant           text NOT NULL,
    processor        text NOT NULL,
    total            integer NOT NULL,
    inputs_sha256    text NOT NULL,
    callback_url     text,
    callback_profile text,
    created_at       timestamptz NOT NULL DEFAULT now(),
    ended_at         timestamptz
);
CREATE INDEX batches_open ON batches (created_at) WHERE ended_at IS NULL;

-- Of a request that was accepted here: who may see it, its input's hash, and its batch. Null for a row that came from the log.
ALTER TABLE payloads ADD COLUMN tenant text, ADD COLUMN input_sha256 text, ADD COLUMN batch_id uuid;
CREATE INDEX payloads_batch ON payloads (batch_id) WHERE batch_id IS NOT NULL;
