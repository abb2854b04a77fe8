-- What came in and what ended in the last window, by processor. Both sides use an index by time and read a sample at most.
WITH came AS (
    SELECT j.processor, count(*) AS requested
    FROM (SELECT job_id FROM runs WHERE requested_at > now() - %(window)s ORDER BY requested_at DESC LIMIT %(most)s) AS r
    JOIN jobs AS j ON j.job_id = r.job_id
    GROUP BY j.processor
), went AS (
    SELECT
        j.processor, count(*) AS ended, count(*) FILTER (WHERE o.status <> 'COMPLETED') AS failed,
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
            ORDER BY greatest(0, extract(epoch FROM o.started_at - r.requested_at) * 1000)) AS queue_ms,
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY o.run_ms) AS run_ms
    FROM (
        SELECT job_id, run, status, started_at, run_ms FROM outcomes WHERE decided_at > now() - %(window)s LIMIT %(most)s
    ) AS o
    JOIN jobs AS j ON j.job_id = o.job_id
    LEFT JOIN runs AS r ON r.job_id = o.job_id AND r.run = o.run
    GROUP BY j.processor
)
SELECT
    processor, coalesce(requested, 0) AS requested, coalesce(ended, 0) AS ended, coalesce(failed, 0) AS failed,
    queue_ms[1]::float8 AS queue_p50_ms, queue_ms[2]::float8 AS queue_p95_ms,
    run_ms[1]::float8 AS run_p50_ms, run_ms[2]::float8 AS run_p95_ms
FROM came FULL JOIN went USING (processor)
ORDER BY processor
