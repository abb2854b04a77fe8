SELECT upload_id::text, tenant, uri, sha256, size, content_type, filename, kind, case_id, source, labels, created_at
FROM uploads WHERE upload_id = %(upload_id)s AND tenant = %(tenant)s
