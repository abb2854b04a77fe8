-- Requests that were accepted here and that the sink has not read from the log. `check_at` is null for those that came from it.
SELECT p.job_id, p.run FROM payloads AS p
WHERE p.check_at IS NOT NULL AND p.accepted_at >= %(since)s AND p.accepted_at < %(until)s
  AND NOT EXISTS (SELECT FROM runs AS r WHERE r.job_id = p.job_id AND r.run = p.run)
  AND NOT EXISTS (SELECT FROM outcomes AS o WHERE o.job_id = p.job_id AND o.run = p.run)
ORDER BY p.accepted_at LIMIT %(limit)s
