UPDATE partial_uploads SET length = %(length)s
WHERE upload_id = %(upload_id)s AND (length IS NULL OR length = %(length)s) AND received <= %(length)s
RETURNING true
