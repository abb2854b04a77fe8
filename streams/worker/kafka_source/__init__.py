"""Jobs from a Kafka consumer group: consumers, assignments, commits, quarantine.

Runs in the parent. May import: the jobs in flight and the supervisor. Start reading at `source.py`.
"""
