-- Released unfinished: claimable at once, and by its rank ahead of younger jobs.
WITH freed AS (
    UPDATE leases SET
        state = 'waiting', worker = NULL, expires_at = NULL,
        execution = least(execution, %(most)s - 1) + %(started)s::boolean::integer
    WHERE job_id = %(job_id)s AND run = %(run)s AND fence = %(fence)s AND state IN ('held', 'offered')
    RETURNING processor
)
SELECT pg_notify('sluice_leases', processor) FROM freed
