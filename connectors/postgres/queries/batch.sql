-- A batch with its progress. Only jobs of the batch's own tenant count: other producers may name any batch.
SELECT
    b.batch_id::text, b.tenant, b.processor, b.total, b.inputs_sha256, b.callback_url, b.callback_profile, b.created_at,
    b.ended_at, n.decided_at, coalesce(n.counts, '{}') AS counts
FROM batches AS b
CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(state, jobs) AS counts, max(decided_at) AS decided_at
    FROM (
        SELECT r.state, count(*) AS jobs, max(o.decided_at) AS decided_at
        FROM jobs AS j
        JOIN runs AS r ON r.job_id = j.job_id AND r.run = j.current_run
        LEFT JOIN outcomes AS o ON o.job_id = r.job_id AND o.run = r.run
        WHERE j.batch_id = b.batch_id::text AND j.tenant = b.tenant
        GROUP BY r.state
    ) AS states
) AS n
WHERE b.batch_id = %(batch_id)s AND {tenant}
