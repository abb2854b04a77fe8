SELECT h.destination, h.delivered, h.failed, h.last_error, h.last_error_at FROM destination_hours AS h
WHERE h.hour > now() - %(age)s AND (%(tenant)s::text IS NULL OR h.tenant = %(tenant)s)
