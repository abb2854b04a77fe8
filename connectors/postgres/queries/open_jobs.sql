-- Jobs that have not ended, read by the sink or not. The state is compared twice so that the partial index of rare states is used.
SELECT tenant, processor, lane, state, sum(jobs)::bigint AS jobs
FROM (
    SELECT
        j.tenant, j.processor, r.lane,
        CASE WHEN r.state = 'PENDING' AND r.due_kind = 'not_before' THEN 'DELAYED' ELSE r.state END AS state, count(*) AS jobs
    FROM runs AS r JOIN jobs AS j ON j.job_id = r.job_id AND j.current_run = r.run
    WHERE r.state IN ('PENDING', 'PROCESSING', 'RETRYING') AND r.state <> 'COMPLETED'
    GROUP BY 1, 2, 3, 4
    UNION ALL
    SELECT p.tenant, p.processor, p.lane, 'PENDING', count(*)
    FROM payloads AS p
    WHERE p.tenant IS NOT NULL AND p.check_at IS NOT NULL
      AND NOT EXISTS (SELECT FROM runs AS r WHERE r.job_id = p.job_id AND r.run = p.run)
    GROUP BY 1, 2, 3
) AS counted
GROUP BY 1, 2, 3, 4
