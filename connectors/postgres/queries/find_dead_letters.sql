-- Dead letters, newest first.
WITH {letters}
SELECT
    coalesce(t.name, '') AS topic, d.topic_id::text, d.partition, d."offset", d.at, d.reason, d.fingerprint, d.summary, d.processor,
    d.origin_topic, d.origin_partition, d.origin_offset, d.job_id::text, d.run, d.job_known, d.tenant, d.bytes, d.attempts, d.worker,
    d.state, d.changed_at, d.changed_by, d.note, d.replay_id::text
FROM letters AS d
LEFT JOIN topics AS t ON t.topic_id = d.topic_id
WHERE {states} AND {after}
ORDER BY d.at DESC, d.partition DESC, d."offset" DESC
LIMIT %(limit)s
