-- Dead letters, newest first.
SELECT
    coalesce(t.name, '') AS topic, d.partition, d."offset", d.at, d.reason, d.fingerprint,
    CASE WHEN j.erased_at IS NULL THEN d.summary END AS summary, d.processor, d.origin_topic, d.origin_partition, d.origin_offset,
    d.job_id::text, d.run, j.job_id IS NOT NULL AS job_known, j.tenant, d.bytes, d.attempts, d.worker, d.state, d.changed_at, d.changed_by,
    d.note, d.replay_id::text
FROM dead_letters AS d
LEFT JOIN jobs AS j ON j.job_id = d.job_id
LEFT JOIN topics AS t ON t.topic_id = d.topic_id
WHERE {places} AND {fingerprint} AND {reason} AND {processor} AND {states} AND {since} AND {until} AND {job} AND {tenant} AND {after}
ORDER BY d.at DESC, d.partition DESC, d."offset" DESC
LIMIT %(limit)s
