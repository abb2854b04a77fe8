INSERT INTO partial_uploads (
    upload_id, tenant, protocol, length, sha256, content_type, filename, kind, case_id, metadata, labels, expires_at
)
VALUES (
    %(upload_id)s, %(tenant)s, %(protocol)s, %(length)s, %(sha256)s, %(content_type)s, %(filename)s, %(kind)s, %(case_id)s,
    %(metadata)s, %(labels)s, now() + %(lifetime)s
)
RETURNING
    upload_id::text, tenant, protocol, length, received, sha256, content_type, filename, kind, case_id, metadata, labels, expires_at
