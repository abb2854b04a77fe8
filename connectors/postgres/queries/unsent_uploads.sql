-- Uploads whose event is not confirmed in time, to be published again after a wait that doubles.
WITH due AS MATERIALIZED (
    SELECT upload_id FROM uploads WHERE check_at <= now() ORDER BY check_at LIMIT %(limit)s
)
UPDATE uploads AS u SET
    check_at = now() + least(greatest(now() - u.created_at, interval '5 seconds'), interval '10 minutes')
FROM due WHERE u.upload_id = due.upload_id
RETURNING
    u.upload_id::text, u.tenant, u.uri, u.sha256, u.size, u.content_type, u.filename, u.kind, u.case_id, u.source, u.labels, u.created_at
