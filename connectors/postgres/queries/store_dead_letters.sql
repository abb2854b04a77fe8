-- Dead letters of a batch. Runs after `store_batch` in the same transaction, so that it sees which jobs are erased. A record that
-- is read again changes nothing.
INSERT INTO dead_letters (
    topic_id, partition, "offset", at, reason, fingerprint, summary, processor, origin_topic, origin_partition, origin_offset,
    job_id, run, bytes, attempts, worker
)
SELECT
    d.topic_id, d.partition, d."offset", d.at, d.reason, d.fingerprint, CASE WHEN j.erased_at IS NULL THEN d.summary END, d.processor,
    d.origin_topic, d.origin_partition, d.origin_offset, d.job_id, d.run, d.bytes, d.attempts, d.worker
FROM @d(
    topic_id uuid, partition integer, "offset" bigint, at timestamptz, reason text, fingerprint text, summary text,
    processor text, origin_topic text, origin_partition integer, origin_offset bigint, job_id uuid, run integer,
    bytes integer, attempts integer, worker text
)
LEFT JOIN jobs AS j ON j.job_id = d.job_id
ON CONFLICT DO NOTHING
