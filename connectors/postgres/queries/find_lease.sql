-- A run's lease and its request. The gateway checks what comes from a lab machine against them; `sluice explain` shows them.
SELECT
    l.attempt, l.execution, l.fence, l.state, coalesce(l.worker, '') AS worker, l.processor, l.lane, p.key, p.value, p.headers,
    l.losses AS crashes, l.executions, l.renewed_at, l.expires_at,
    t.name AS topic, l.topic_id, l.partition, l."offset"
FROM leases AS l
JOIN payloads AS p ON p.job_id = l.job_id AND p.run = l.run
LEFT JOIN topics AS t ON t.topic_id = l.topic_id
WHERE l.job_id = %(job_id)s AND l.run = %(run)s
