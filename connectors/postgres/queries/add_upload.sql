-- Accepts an upload and ends its upload in pieces; returns a row if it was not accepted before.
WITH added AS (
    INSERT INTO uploads (
        upload_id, tenant, uri, sha256, size, content_type, filename, kind, case_id, source, created_at, check_at
    )
    VALUES (
        %(upload_id)s, %(tenant)s, %(uri)s, %(sha256)s, %(size)s, %(content_type)s, %(filename)s, %(kind)s, %(case_id)s,
        %(source)s, %(created_at)s, now() + %(check_in)s
    )
    ON CONFLICT (upload_id) DO NOTHING
    RETURNING true
),
parts_gone AS (
    DELETE FROM upload_parts WHERE upload_id = %(upload_id)s
),
partial_gone AS (
    DELETE FROM partial_uploads WHERE upload_id = %(upload_id)s
)
SELECT * FROM added
