-- Dead letters grouped by fingerprint, the largest group first. `partition` and `offset`: of the newest one.
WITH {letters}
SELECT
    d.fingerprint, min(d.reason) AS reason, max(d.processor) AS processor, min(d.origin_topic) AS origin_topic,
    count(*) AS letters, count(*) FILTER (WHERE d.state = 'open') AS open, min(d.at) AS first_at, max(d.at) AS last_at,
    (array_agg(d.partition ORDER BY d.at DESC, d.partition DESC, d."offset" DESC))[1] AS partition,
    (array_agg(d."offset" ORDER BY d.at DESC, d.partition DESC, d."offset" DESC))[1] AS "offset",
    (array_agg(d.summary ORDER BY d.at DESC) FILTER (WHERE d.summary IS NOT NULL))[1] AS summary
FROM letters AS d
WHERE {states}
GROUP BY d.fingerprint
ORDER BY count(*) DESC, max(d.at) DESC, d.fingerprint
