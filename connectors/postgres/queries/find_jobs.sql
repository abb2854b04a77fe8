-- Current runs, newest first, starting after the last row of the previous page.
SELECT
    r.job_id::text, r.run, j.processor, r.state, r.attempt, r.requested_at, r.updated_at, j.external_id, o.error_code, j.tenant,
    j.case_id, j.batch_id, o.model_version, o.fingerprint, o.error_message, o.decided_at AS finished_at
FROM runs AS r
JOIN jobs AS j ON j.job_id = r.job_id AND j.current_run = r.run
LEFT JOIN outcomes AS o ON o.job_id = r.job_id AND o.run = r.run
WHERE {wanted}
ORDER BY r.requested_at DESC, r.job_id DESC
LIMIT %(limit)s
