-- A case's uploads of a kind, newest first. `labels`: name -> the values of which an upload has one.
SELECT upload_id::text, tenant, uri, sha256, size, content_type, filename, kind, case_id, source, created_at, labels
FROM uploads
WHERE case_id = %(case_id)s AND tenant = %(tenant)s AND kind = %(kind)s AND NOT EXISTS (
    SELECT FROM jsonb_each(%(labels)s::jsonb) AS wanted (name, allowed)
    WHERE NOT allowed @> coalesce(uploads.labels -> name, 'null')
)
ORDER BY created_at DESC, upload_id DESC
LIMIT %(limit)s
