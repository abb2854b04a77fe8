SELECT upload_id::text, tenant, protocol, length, received, sha256, content_type, filename, kind, case_id, metadata, labels,
    expires_at
FROM partial_uploads WHERE upload_id = %(upload_id)s AND tenant = %(tenant)s AND expires_at > now()
