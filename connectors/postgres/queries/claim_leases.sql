-- The next jobs of a processor, each granted to one worker. Rows that another worker claims at the same moment are skipped.
-- A job under which a worker or a process has died is granted alone: what kills its host takes no other job with it twice.
WITH candidates AS MATERIALIZED (
    SELECT l.job_id, l.run, l.rank, l.losses
    FROM leases AS l JOIN runs AS r ON r.job_id = l.job_id AND r.run = l.run
    WHERE l.processor = %(processor)s AND l.state = 'waiting'
      AND r.state IN ('PENDING', 'PROCESSING') AND (r.deadline IS NULL OR r.deadline > now())
      AND NOT EXISTS (SELECT FROM cancels AS c WHERE c.job_id = l.job_id AND c.run = l.run AND c.ended_at IS NULL)
      AND NOT EXISTS (SELECT FROM controls AS o WHERE o.processor = %(processor)s AND o.action = 'pause')
      AND (%(tenant)s::text IS NULL OR EXISTS (SELECT FROM jobs AS j WHERE j.job_id = l.job_id AND j.tenant = %(tenant)s))
    ORDER BY l.rank
    LIMIT %(count)s
    FOR UPDATE OF l SKIP LOCKED
),
ranked AS (
    SELECT job_id, run, losses, row_number() OVER place AS number, first_value(losses) OVER place AS first_losses
    FROM candidates WINDOW place AS (ORDER BY rank, job_id, run)
),
next AS (
    SELECT job_id, run FROM ranked WHERE CASE WHEN first_losses > 0 THEN number = 1 ELSE losses = 0 END
),
granted AS (
    UPDATE leases AS l SET
        state = %(state)s, worker = %(worker)s, fence = nextval('lease_fences'), executions = %(executions)s,
        claimed_at = now(), renewed_at = now(), expires_at = now() + %(lease)s
    FROM next
    WHERE l.job_id = next.job_id AND l.run = next.run
    RETURNING l.*
)
SELECT
    g.job_id::text, g.run, g.attempt, g.execution, g.losses AS crashes, g.fence, g.processor, g.lane, p.key, p.value, p.headers,
    t.name AS topic, g.topic_id, g.partition, g."offset", p.accepted_at, g.expires_at
FROM granted AS g
JOIN payloads AS p ON p.job_id = g.job_id AND p.run = g.run
LEFT JOIN topics AS t ON t.topic_id = g.topic_id
ORDER BY g.rank
