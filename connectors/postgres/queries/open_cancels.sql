-- Cancels that are due for a check. If the run has ended, the cancel is closed; if the run is not known yet, it is checked again
-- after a quarter of the cancel's age (its worker knows the cancel as well, so the end of a late job does not wait for it); a running job is left to its worker until the grace period is over. The other runs are returned, to be ended now, and
-- checked again later in case the record that ends them gets lost.
WITH looked AS MATERIALIZED (
    SELECT
        c.job_id, c.run, c.reason, r.state, o.decided_at,
        r.state = 'PROCESSING' AND c.read_at + %(grace)s > now() AS left_to_worker, c.read_at + %(grace)s AS grace_ends,
        -- As long as Kafka keeps the commands.
        r.state IS NULL AND c.read_at < now() - interval '15 days' AS forgotten, now() - c.read_at AS age
    FROM (SELECT * FROM cancels WHERE ended_at IS NULL AND due_at <= now() ORDER BY due_at LIMIT %(limit)s) AS c
    LEFT JOIN runs AS r ON r.job_id = c.job_id AND r.run = c.run
    LEFT JOIN outcomes AS o ON o.job_id = c.job_id AND o.run = c.run
),
gone AS (
    DELETE FROM cancels AS c USING looked AS l WHERE l.forgotten AND c.job_id = l.job_id AND c.run = l.run
),
put_off AS (
    UPDATE cancels AS c SET
        ended_at = l.decided_at,
        due_at = CASE
            WHEN l.state IS NULL THEN now() + least(greatest(l.age / 4, interval '0.1 seconds'), interval '1 hour')
            WHEN l.left_to_worker THEN l.grace_ends
            ELSE now() + interval '10 seconds'
        END
    FROM looked AS l
    WHERE NOT l.forgotten AND c.job_id = l.job_id AND c.run = l.run
)
SELECT
    r.job_id::text, r.run, r.attempt, 'cancel' AS kind, j.processor, r.requested_at AS created_at, t.name AS topic,
    r.topic_id, r.partition, r."offset", l.reason, r.mode
FROM looked AS l
JOIN runs AS r ON r.job_id = l.job_id AND r.run = l.run
JOIN jobs AS j ON j.job_id = r.job_id
LEFT JOIN topics AS t ON t.topic_id = r.topic_id
WHERE l.decided_at IS NULL AND NOT l.left_to_worker
