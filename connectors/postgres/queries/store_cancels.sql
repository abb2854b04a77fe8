INSERT INTO cancels (job_id, run, requested_at, requested_by, reason)
SELECT job_id, run, requested_at, requested_by, reason
FROM @c(job_id uuid, run integer, requested_at timestamptz, requested_by text, reason text)
ON CONFLICT (job_id, run) DO NOTHING
