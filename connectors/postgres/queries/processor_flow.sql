-- What came in and what ended in the last window, by processor. Each part uses an index and reads a sample at most. A replayed
-- run came when it was published: its `requested_at` is that of the job.
WITH replaying AS (
    -- `stop`: the first row whose turn has not come; those before it are in the order of their publication.
    SELECT s.replay_id, coalesce(
        (SELECT min(w.n) FROM replay_jobs AS w WHERE w.replay_id = s.replay_id AND w.state = 'waiting' AND w.tries = 0),
        s.total + 1
    ) AS stop
    FROM replays AS s WHERE s.state IN ('running', 'paused') OR s.ended_at > now() - %(window)s
), came AS (
    SELECT j.processor, count(*) AS requested
    FROM (
        (
            SELECT job_id FROM runs WHERE requested_at > now() - %(window)s AND run = 0
            ORDER BY requested_at DESC LIMIT %(most)s
        )
        UNION ALL
        SELECT p.job_id FROM replaying AS s CROSS JOIN LATERAL (
            SELECT job_id, published_at FROM replay_jobs
            WHERE replay_id = s.replay_id AND n < s.stop AND state = 'published' ORDER BY n DESC LIMIT %(most)s
        ) AS p
        WHERE p.published_at > now() - %(window)s
    ) AS r
    JOIN jobs AS j ON j.job_id = r.job_id
    GROUP BY j.processor
), went AS (
    SELECT
        j.processor, count(*) AS ended, count(*) FILTER (WHERE o.status <> 'COMPLETED') AS failed,
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
            ORDER BY greatest(0, extract(epoch FROM o.started_at - coalesce(p.published_at, r.requested_at)) * 1000)) AS queue_ms,
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY o.run_ms) AS run_ms
    FROM (
        SELECT job_id, run, status, started_at, run_ms FROM outcomes WHERE decided_at > now() - %(window)s LIMIT %(most)s
    ) AS o
    JOIN jobs AS j ON j.job_id = o.job_id
    LEFT JOIN runs AS r ON r.job_id = o.job_id AND r.run = o.run
    LEFT JOIN replay_jobs AS p ON p.job_id = o.job_id AND p.run = o.run
    GROUP BY j.processor
)
SELECT
    processor, coalesce(requested, 0) AS requested, coalesce(ended, 0) AS ended, coalesce(failed, 0) AS failed,
    queue_ms[1]::float8 AS queue_p50_ms, queue_ms[2]::float8 AS queue_p95_ms,
    run_ms[1]::float8 AS run_p50_ms, run_ms[2]::float8 AS run_p95_ms
FROM came FULL JOIN went USING (processor)
ORDER BY processor
