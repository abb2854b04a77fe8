-- A heartbeat. A lease that is not returned is no longer held: its fence is stale, or its run has ended. The first one
-- takes up an offer. Rows are locked in the same order as the sink locks them.
WITH h AS MATERIALIZED (
    SELECT * FROM unnest(
        %(jobs)s::uuid[], %(runs)s::integer[], %(fences)s::bigint[], %(executions)s::integer[], %(crashes)s::integer[]
    ) AS h(job_id, run, fence, execution, crashes)
),
mine AS MATERIALIZED (
    SELECT l.job_id, l.run, h.execution, h.crashes
    FROM leases AS l JOIN h ON l.job_id = h.job_id AND l.run = h.run
    WHERE l.fence = h.fence AND l.state IN ('held', 'offered') AND l.worker = %(worker)s
    ORDER BY l.job_id, l.run
    FOR UPDATE OF l
),
renewed AS (
    UPDATE leases AS l SET
        state = 'held', renewed_at = now(), expires_at = now() + %(lease)s,
        execution = greatest(l.execution, least(mine.execution, %(most)s)),
        losses = greatest(l.losses, least(mine.crashes, %(most)s))
    FROM mine WHERE l.job_id = mine.job_id AND l.run = mine.run
)
SELECT
    mine.job_id::text, mine.run,
    EXISTS (
        SELECT FROM cancels AS c WHERE c.job_id = mine.job_id AND c.run = mine.run AND c.ended_at IS NULL
    ) AS cancelled
FROM mine
