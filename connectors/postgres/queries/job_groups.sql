-- Current runs counted by some columns, the largest group first. The example is the least id: any is good, and this needs no sort.
SELECT
    {keys}, count(*) AS jobs, min(r.job_id::text) AS example, min(r.requested_at) AS oldest, max(r.requested_at) AS newest,
    min(o.error_message) AS error_message
FROM runs AS r
JOIN jobs AS j ON j.job_id = r.job_id AND j.current_run = r.run
LEFT JOIN outcomes AS o ON o.job_id = r.job_id AND o.run = r.run
WHERE {wanted}
GROUP BY {keys}
ORDER BY jobs DESC, {keys}
LIMIT %(limit)s
