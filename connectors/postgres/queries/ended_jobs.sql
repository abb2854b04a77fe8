-- Runs that ended lately, by processor; a sample of them if there are very many.
SELECT j.processor, count(*) AS jobs, count(o.run_ms) AS timed, coalesce(sum(o.run_ms), 0)::float8 / 1000 AS run_s
FROM (SELECT job_id, run_ms FROM outcomes WHERE decided_at > %(since)s LIMIT 20000) AS o
JOIN jobs AS j ON j.job_id = o.job_id
GROUP BY j.processor
