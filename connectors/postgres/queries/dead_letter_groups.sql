-- Dead letters grouped by fingerprint, the largest group first. `partition` and `offset`: of the newest one.
SELECT
    d.fingerprint, min(d.reason) AS reason, max(d.processor) AS processor, min(d.origin_topic) AS origin_topic,
    count(*) AS letters, count(*) FILTER (WHERE d.state = 'open') AS open, min(d.at) AS first_at, max(d.at) AS last_at,
    (array_agg(d.partition ORDER BY d.at DESC, d.partition DESC, d."offset" DESC))[1] AS partition,
    (array_agg(d."offset" ORDER BY d.at DESC, d.partition DESC, d."offset" DESC))[1] AS "offset",
    (array_agg(d.summary ORDER BY d.at DESC) FILTER (WHERE j.erased_at IS NULL AND d.summary IS NOT NULL))[1] AS summary
FROM dead_letters AS d
LEFT JOIN jobs AS j ON j.job_id = d.job_id
WHERE {places} AND {fingerprint} AND {reason} AND {processor} AND {states} AND {since} AND {until} AND {job} AND {tenant}
GROUP BY d.fingerprint
ORDER BY count(*) DESC, max(d.at) DESC, d.fingerprint
