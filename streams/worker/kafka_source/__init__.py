"""Jobs from a consumer group: two consumers read by weight, their assignments, commits, and what the last owner left.

May import: confluent_kafka, streams.log and the worker's own parent modules. Start reading at `consumers.py`.
"""
