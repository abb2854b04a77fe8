"""Jobs from a Kafka consumer group: consumers, assignments, commits, quarantine.

Runs in the parent. May import: processors, streams.log,
streams.worker.{in_flight,job,protocol,supervision}. Start reading at `source.py`.
"""
