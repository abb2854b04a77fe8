-- The last command to each processor, the workers that acknowledged it (pause: paused), and the counts of jobs not yet ended.
SELECT
    p.name, c.action, c.requested_at, c.requested_by, c.reason,
    coalesce(
        (SELECT jsonb_agg(jsonb_build_object('worker_id', a.worker_id, 'action', a.action, 'at', a.at) ORDER BY a.worker_id)
         FROM control_answers AS a WHERE a.processor = p.name AND a.action = c.action || 'd'),
        '[]'
    ) AS acknowledgements,
    coalesce(n.jobs, '{}') AS jobs
FROM unnest(%(names)s::text[]) WITH ORDINALITY AS p(name, position)
LEFT JOIN controls AS c ON c.processor = p.name
LEFT JOIN (
    SELECT processor, jsonb_object_agg(state, jobs) AS jobs
    FROM (
        SELECT j.processor, r.state, count(*) AS jobs
        FROM runs AS r JOIN jobs AS j ON j.job_id = r.job_id AND j.current_run = r.run
        -- Compared twice so that the partial index of rare states is used.
        WHERE r.state IN ('PENDING', 'PROCESSING', 'RETRYING') AND r.state <> 'COMPLETED'
        GROUP BY j.processor, r.state
    ) AS counted
    GROUP BY processor
) AS n ON n.processor = p.name
ORDER BY p.position
