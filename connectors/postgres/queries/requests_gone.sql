-- Open runs that no worker can read any more: none of their requests is in the log, neither the first one nor one that was
-- published again for a retry or release (history has them all). A run that changed a moment ago may have a request that the sink has
-- not read yet. Reads the index of runs that are not completed.
WITH kept AS MATERIALIZED (
    SELECT * FROM unnest(%(topics)s::uuid[], %(partitions)s::integer[], %(begins)s::bigint[]) AS k(topic_id, partition, begin)
),
gone AS MATERIALIZED (
    SELECT r.* FROM runs AS r LEFT JOIN kept AS k ON k.topic_id = r.topic_id AND k.partition = r.partition
    WHERE r.state IN ('PENDING', 'PROCESSING') AND r.state <> 'COMPLETED'
      AND r.topic_id IS NOT NULL AND (k.begin IS NULL OR r."offset" < k.begin)
      AND r.updated_at < now() - interval '1 minute'
      AND NOT EXISTS (SELECT FROM leases AS l WHERE l.job_id = r.job_id AND l.run = r.run)
      AND NOT EXISTS (
          SELECT FROM history AS h JOIN kept AS k ON k.topic_id = h.topic_id AND k.partition = h.partition
          WHERE h.job_id = r.job_id AND h.run = r.run AND h.kind = 'request' AND h."offset" >= k.begin
      )
    LIMIT %(limit)s
)
SELECT
    r.job_id::text, r.run, r.attempt, 'gone' AS kind, j.processor, r.requested_at AS created_at, t.name AS topic, r.topic_id,
    r.partition, r."offset", r.mode
FROM gone AS r
JOIN jobs AS j ON j.job_id = r.job_id
LEFT JOIN topics AS t ON t.topic_id = r.topic_id
