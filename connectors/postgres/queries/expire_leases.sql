-- Expired leases: claimable again with the next execution number, or given up (state 'lost') after too many crashes (column
-- `losses`). A lease that was given up is returned every minute until its run has ended. Both counts stop at a limit: a row whose
-- count left the range of its column would stop the expiry of all. An offer that was not taken up counts as nothing.
WITH due AS MATERIALIZED (
    SELECT l.*, l.state = 'lost' OR l.state = 'held' AND l.losses >= l.executions - 1 AS given_up,
        l.state = 'offered' AS offered
    FROM leases AS l
    WHERE l.expires_at <= now()
    ORDER BY l.expires_at LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
),
moved AS (
    UPDATE leases AS l SET
        state = CASE WHEN due.given_up THEN 'lost' ELSE 'waiting' END,
        execution = least(l.execution, %(most)s - 1) + (NOT due.given_up AND NOT due.offered)::integer,
        losses = least(l.losses, %(most)s - 1) + (l.state = 'held')::integer,
        worker = CASE WHEN due.given_up THEN l.worker END,
        expires_at = CASE WHEN due.given_up THEN now() + interval '1 minute' END
    FROM due WHERE l.job_id = due.job_id AND l.run = due.run
    RETURNING l.processor
),
notified AS (
    SELECT pg_notify('sluice_leases', processor) FROM (SELECT DISTINCT processor FROM moved) AS m
)
SELECT
    due.job_id::text, due.run, due.attempt, due.execution, due.processor, due.worker, due.given_up, due.offered,
    p.key, p.value, p.headers, t.name AS topic, due.topic_id, due.partition, due."offset"
FROM due
JOIN payloads AS p ON p.job_id = due.job_id AND p.run = due.run
LEFT JOIN topics AS t ON t.topic_id = due.topic_id
WHERE (SELECT count(*) FROM notified) >= 0
ORDER BY due.expires_at
