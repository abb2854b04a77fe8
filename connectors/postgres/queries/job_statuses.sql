-- Jobs with one run each, newest first, without outputs and history.
SELECT
    r.job_id::text, r.run, j.processor, j.tenant, r.lane, r.state, r.attempt, r.stage, r.percent, r.message, j.created_at,
    r.updated_at, r.deadline, j.external_id, j.case_id, j.upload_id, j.batch_id, j.labels, o.error_code, o.error_message,
    o.decided_at AS finished_at
FROM jobs AS j
JOIN runs AS r ON r.job_id = j.job_id AND r.run = {run}
LEFT JOIN outcomes AS o ON o.job_id = r.job_id AND o.run = r.run
WHERE {wanted}
ORDER BY j.created_at DESC, j.job_id DESC
LIMIT %(limit)s
