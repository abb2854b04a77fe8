SELECT topic_id, partition, next_offset FROM sink_offsets WHERE group_id = %(group)s
