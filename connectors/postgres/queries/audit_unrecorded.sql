-- Records that the history lacks, by their number.
SELECT k.n::integer AS n
FROM unnest(%(jobs)s::uuid[], %(topics)s::uuid[], %(partitions)s::integer[], %(offsets)s::bigint[])
    WITH ORDINALITY AS k(job_id, topic_id, partition, "offset", n)
WHERE NOT EXISTS (
    SELECT FROM history AS h
    WHERE h.job_id = k.job_id AND h.topic_id = k.topic_id AND h.partition = k.partition AND h."offset" = k."offset"
)
