"""Results after the fact: writes an outcome's files to a folder, and verifies that an outcome is what its receipt says.

May import: connectors.
Start reading at `download.py` (`sluice result`); `verify.py` is `sluice verify`.
"""
