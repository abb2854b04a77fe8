-- Open runs of a batch's jobs: those that the sink has read, and those that it has not read yet.
SELECT r.job_id::text, r.run
FROM jobs AS j JOIN runs AS r ON r.job_id = j.job_id AND r.run = j.current_run
WHERE j.batch_id = %(batch_id)s AND j.tenant = %(tenant)s AND r.state IN ('PENDING', 'PROCESSING', 'RETRYING')
UNION ALL
SELECT p.job_id::text, p.run
FROM payloads AS p
WHERE p.batch_id = %(key)s AND p.tenant = %(tenant)s AND NOT EXISTS (SELECT FROM jobs AS j WHERE j.job_id = p.job_id)
