-- Jobs of a replay with the outcome of the run that is repeated (before) and of the new run (after), by number.
SELECT
    p.n, p.job_id::text, coalesce(j.processor, '') AS processor, j.case_id, p.from_run, p.run, p.state, p.reason,
    b.status AS before_state, b.error_code AS before_error, b.model_version AS before_version, b.device AS before_device,
    b.run_ms AS before_ms, b.output AS before_output, b.refs AS before_refs,
    a.status AS after_state, a.error_code AS after_error, a.model_version AS after_version, a.device AS after_device,
    a.run_ms AS after_ms, a.output AS after_output, a.refs AS after_refs
FROM replay_jobs AS p
LEFT JOIN jobs AS j ON j.job_id = p.job_id
LEFT JOIN outcomes AS b ON b.job_id = p.job_id AND b.run = p.from_run
LEFT JOIN outcomes AS a ON a.job_id = p.job_id AND a.run = p.run
WHERE p.replay_id = %(replay_id)s AND p.n > %(after)s AND p.job_id IS NOT NULL
ORDER BY p.n LIMIT %(limit)s
