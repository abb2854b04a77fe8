-- Open batches to look at now, with their jobs by state. Locked, so that each is ended once. Only jobs of the batch's own tenant
-- count: other producers may name any batch.
WITH due AS (
    SELECT * FROM batches WHERE ended_at IS NULL AND check_at <= now() ORDER BY check_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
SELECT
    due.batch_id::text, due.tenant, due.processor, due.total, due.inputs_sha256, due.callback_url, due.callback_profile,
    due.created_at, now() AS now, n.decided_at, coalesce(n.counts, '{}') AS counts
FROM due
CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(state, jobs) AS counts, max(decided_at) AS decided_at
    FROM (
        SELECT r.state, count(*) AS jobs, max(o.decided_at) AS decided_at
        FROM jobs AS j
        JOIN runs AS r ON r.job_id = j.job_id AND r.run = j.current_run
        LEFT JOIN outcomes AS o ON o.job_id = r.job_id AND o.run = r.run
        WHERE j.batch_id = due.batch_id::text AND j.tenant = due.tenant
        GROUP BY r.state
    ) AS states
) AS n
