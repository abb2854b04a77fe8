SELECT name, tenant, scopes, created_at, expires_at, revoked_at FROM tokens WHERE {wanted} ORDER BY name, created_at
