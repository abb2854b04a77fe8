-- Uploaded files (docs/adr/0025). A row means that the file was accepted: its object is in the object store under its sha256.
-- check_at: when to publish the event on `uploads` again; null once Kafka has confirmed it.
CREATE TABLE uploads (
    upload_id    uuid PRIMARY KEY,
    tenant       text NOT NULL,
    uri          text NOT NULL,
    sha256       text NOT NULL,
    size         bigint NOT NULL,
    content_type text NOT NULL,
    filename     text NOT NULL,
    kind         text NOT NULL,
    case_id      text,
    source       text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    check_at     timestamptz
);
CREATE INDEX uploads_content ON uploads (sha256, tenant);
CREATE INDEX uploads_case ON uploads (case_id) WHERE case_id IS NOT NULL;
CREATE INDEX uploads_to_check ON uploads (check_at) WHERE check_at IS NOT NULL;

-- Uploads in pieces that have not ended. `length`: bytes in all, null while the client has not said. `received`: bytes that
-- are stored and survive the gateway. `sha256`: what the client says the file has, or null.
-- protocol: tus (its pieces are in upload_parts) or presigned (the client writes to the object store itself).
CREATE TABLE partial_uploads (
    upload_id    uuid PRIMARY KEY,
    tenant       text NOT NULL,
    protocol     text NOT NULL,
    length       bigint,
    received     bigint NOT NULL DEFAULT 0,
    sha256       text,
    content_type text NOT NULL,
    filename     text NOT NULL,
    kind         text NOT NULL,
    case_id      text,
    metadata     text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL
);
CREATE INDEX partial_uploads_expiring ON partial_uploads (expires_at);

CREATE TABLE upload_parts (
    upload_id uuid NOT NULL,
    start     bigint NOT NULL,
    size      bigint NOT NULL,
    name      text NOT NULL,
    PRIMARY KEY (upload_id, start)
);
