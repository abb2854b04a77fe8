-- Its result is in the log. The row stays until the sink has read it, as a fence against an older execution.
UPDATE leases SET state = 'settled', expires_at = NULL
WHERE job_id = %(job_id)s AND run = %(run)s AND fence = %(fence)s AND state = 'held'
RETURNING 1
