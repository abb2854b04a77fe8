"""The operator's side of the log: plan and apply topics, schemas and first offsets; read records, lag and group members.

May import: streams.{log,router,wiring}. Start reading at `topics.py` (`sluice topics`), then `tail.py`.
"""
