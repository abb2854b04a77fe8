"""Results after the fact: writes an outcome's files to a folder, and verifies that an outcome is what its receipt says.

May import: connectors, processors, streams.timekeeper.requests, streams.worker.child.
Start reading at `download.py` (`sluice result`), then `verify.py` and `installed.py` (`sluice verify`).
"""
