-- Runs whose due time has passed, oldest first.
SELECT
    r.job_id::text, r.run, r.attempt, r.due_kind AS kind, j.processor, r.requested_at AS created_at, t.name AS topic,
    r.topic_id, r.partition, r."offset"
FROM runs AS r
JOIN jobs AS j ON j.job_id = r.job_id
LEFT JOIN topics AS t ON t.topic_id = r.topic_id
WHERE r.due_at <= now()
ORDER BY r.due_at LIMIT %(limit)s
