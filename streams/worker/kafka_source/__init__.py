"""Jobs from a Kafka consumer group: consumers, assignments, commits, quarantine.

Runs in the parent. May import: processors, streams.{health,log}, streams.worker.{in_flight,job,protocol,supervision}. Start
reading at `source.py`, then `assigned_partitions.py` (commits), `offsets.py` (which offset may be committed).
"""
