-- Leases are rows of open runs only, so this reads a small table.
SELECT
    l.processor, l.lane, count(*) FILTER (WHERE l.state IN ('waiting', 'offered')) AS waiting,
    count(*) FILTER (WHERE l.state = 'held') AS held, min(r.requested_at) AS oldest_at
FROM leases AS l LEFT JOIN runs AS r ON r.job_id = l.job_id AND r.run = l.run
WHERE l.state IN ('waiting', 'offered', 'held')
GROUP BY l.processor, l.lane
ORDER BY l.processor, l.lane DESC
