-- Open runs without a due time that nothing has happened to for long. `requested_at` is the producer's clock and leads the index; the
-- store's own clock, in `updated_at`, decides. A time far ahead is found as well, also of a start that the log will not keep it for.
SELECT
    r.job_id::text, r.run, r.attempt, 'silent' AS kind, j.processor, r.requested_at AS created_at, t.name AS topic, r.topic_id,
    r.partition, r."offset", r.mode
FROM runs AS r
JOIN jobs AS j ON j.job_id = r.job_id
LEFT JOIN topics AS t ON t.topic_id = r.topic_id
WHERE r.state IN ('PENDING', 'PROCESSING') AND r.state <> 'COMPLETED'
  AND (r.requested_at < now() - %(age)s OR r.requested_at > now() + interval '1 hour')
  AND (r.due_at IS NULL OR r.due_kind = 'not_before' AND r.due_at > now() + interval '1 hour') AND r.updated_at < now() - %(age)s
LIMIT %(limit)s
