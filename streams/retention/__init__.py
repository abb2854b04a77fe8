"""Deletes stored files that nothing refers to, and the contents of a case.

May import: connectors (the ports), streams.{admin.topics,client,log,wiring}.
Start reading at `collect.py` (`sluice objects collect`), then `erase.py` (`sluice erase`); both read the log by `log_scan.py`.
"""
