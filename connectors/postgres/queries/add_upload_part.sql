-- Appends a part if the upload ends where the part starts. The lock on the row lets one of two requests append.
WITH moved AS (
    UPDATE partial_uploads SET received = received + %(size)s, expires_at = now() + %(lifetime)s
    WHERE upload_id = %(upload_id)s AND received = %(start)s AND expires_at > now()
    RETURNING
        upload_id::text, tenant, protocol, length, received, sha256, content_type, filename, kind, case_id, metadata, labels,
        expires_at
),
appended AS (
    INSERT INTO upload_parts (upload_id, start, size, name)
    SELECT upload_id::uuid, %(start)s, %(size)s, %(part_name)s FROM moved
)
SELECT * FROM moved
