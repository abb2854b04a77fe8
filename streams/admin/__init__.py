"""What operators see and change of the log: topics, schemas and first offsets; records, lag and members of groups.

May import: schemas, streams.log, the settings and the wiring. Start reading at `topics.py` (`sluice topics`), then `tail.py`.
"""
