UPDATE uploads SET check_at = NULL WHERE upload_id = ANY(%(upload_ids)s::uuid[]) AND check_at IS NOT NULL
