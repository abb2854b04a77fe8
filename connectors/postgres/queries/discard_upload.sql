WITH parts_gone AS (DELETE FROM upload_parts WHERE upload_id = %(upload_id)s)
DELETE FROM partial_uploads WHERE upload_id = %(upload_id)s
RETURNING true
