-- The new owner of partitions takes the next epoch, so batches that an earlier owner still tries to store are refused.
INSERT INTO sink_offsets AS s (group_id, topic_id, partition, next_offset, published_offset, epoch)
SELECT group_id, topic_id, partition, begin_at, begin_at, 1
FROM @p(group_id text, topic_id uuid, partition integer, begin_at bigint)
ON CONFLICT (group_id, topic_id, partition) DO UPDATE SET epoch = s.epoch + 1
RETURNING s.topic_id, s.partition, s.next_offset, s.published_offset, s.epoch
