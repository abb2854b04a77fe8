INSERT INTO tokens (sha256, name, tenant, scopes, expires_at)
VALUES (%(sha256)s, %(token)s, %(tenant)s, %(scopes)s, %(expires_at)s)
ON CONFLICT DO NOTHING
RETURNING name, tenant, scopes, created_at, expires_at, revoked_at
