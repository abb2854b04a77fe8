SELECT coalesce(r.state, 'PENDING') AS state, count(*) AS jobs
FROM replay_jobs AS p LEFT JOIN runs AS r ON r.job_id = p.job_id AND r.run = p.run
WHERE p.replay_id = %(replay_id)s AND p.state = 'published' AND p.run IS NOT NULL
GROUP BY 1 ORDER BY 1
