SELECT upload_id::text FROM partial_uploads WHERE expires_at <= now() ORDER BY expires_at LIMIT %(limit)s
