UPDATE tokens SET revoked_at = now() WHERE name = %(token)s AND revoked_at IS NULL
RETURNING name, tenant, scopes, created_at, expires_at, revoked_at
