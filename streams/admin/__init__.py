"""The operator's side of the log: plan and apply topics, schemas and first offsets; read records, lag and group members.

May import: connectors, streams.{log,router,wiring}, streams.worker.kafka_source.offset_metadata. Start reading at
`topics.py` (`sluice topics`), then `tail.py` (records: `log_range.py`, `record_filter.py`, `scan.py`) and `lag.py`.
"""
