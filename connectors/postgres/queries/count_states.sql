SELECT r.state, count(*) AS jobs
FROM runs AS r JOIN jobs AS j ON j.job_id = r.job_id AND j.current_run = r.run
WHERE {batch}
GROUP BY r.state ORDER BY r.state
