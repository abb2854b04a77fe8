-- The sink's offsets, and the names of all topics that were ever read.
SELECT t.topic_id, t.name, s.partition, s.next_offset, s.published_offset
FROM topics AS t LEFT JOIN sink_offsets AS s ON s.topic_id = t.topic_id AND s.group_id = %(group_id)s
