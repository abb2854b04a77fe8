-- The result of the job is in the log. The row stays until the sink has read the result, as a fence against older executions.
UPDATE leases SET state = 'settled', expires_at = NULL
WHERE job_id = %(job_id)s AND run = %(run)s AND fence = %(fence)s AND state = 'held'
RETURNING 1
