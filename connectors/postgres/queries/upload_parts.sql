SELECT start, size, name FROM upload_parts WHERE upload_id = %(upload_id)s ORDER BY start
