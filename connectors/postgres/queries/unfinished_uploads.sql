SELECT upload_id::text FROM partial_uploads WHERE upload_id = ANY(%(upload_ids)s::uuid[])
