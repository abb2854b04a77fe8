-- Drawn by a hash, so that a sample is no partition's or hour's alone.
WITH {candidates}
SELECT
    0 AS n, c.source, c.job_id::text, c.processor, c.from_run, c.next_run AS run, t.name AS topic, c.topic_id, c.partition,
    c."offset", 'waiting' AS state, NULL AS reason, 0 AS tries, NULL::timestamptz AS published_at
FROM checked AS c LEFT JOIN topics AS t ON t.topic_id = c.topic_id
WHERE c.parked IS NULL
ORDER BY hashtextextended(coalesce(c.job_id::text, c.partition || ':' || c."offset"), 0) LIMIT %(sample)s
