-- Runs whose due time has passed. Among the oldest and the newest candidates, each tenant gets its turn: first the oldest run of
-- each, then the second oldest, and so on. So one tenant's many due runs do not keep another's waiting.
WITH candidates AS MATERIALIZED (
    (SELECT job_id, run FROM runs WHERE due_at <= now() ORDER BY due_at LIMIT 2 * %(limit)s)
    UNION
    (SELECT job_id, run FROM runs WHERE due_at <= now() ORDER BY due_at DESC LIMIT 2 * %(limit)s)
),
ranked AS (
    SELECT r.*, j.processor, row_number() OVER (PARTITION BY j.tenant ORDER BY r.due_at) AS turn
    FROM candidates AS c
    JOIN runs AS r ON r.job_id = c.job_id AND r.run = c.run
    JOIN jobs AS j ON j.job_id = r.job_id
)
SELECT
    r.job_id::text, r.run, r.attempt, r.due_kind AS kind, r.processor, r.requested_at AS created_at, t.name AS topic,
    r.topic_id, r.partition, r."offset", r.mode
FROM ranked AS r
LEFT JOIN topics AS t ON t.topic_id = r.topic_id
ORDER BY r.turn, r.due_at LIMIT %(limit)s
