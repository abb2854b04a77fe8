-- Runs by the time of their request, oldest first, by keyset.
SELECT r.job_id, r.run, j.processor, r.topic_id, r.partition, r."offset", r.requested_at, o.decided_at
FROM runs AS r
JOIN jobs AS j ON j.job_id = r.job_id
LEFT JOIN outcomes AS o ON o.job_id = r.job_id AND o.run = r.run
WHERE r.requested_at >= %(since)s AND r.requested_at < %(until)s AND {after}
ORDER BY r.requested_at, r.job_id, r.run LIMIT %(limit)s
