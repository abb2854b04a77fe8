"""Callbacks: notify a backend how its job ended. Signed, guarded against internal addresses, bounded in time and size.

May import: schemas, aiohttp and httptools (in `connect.py`, `connection.py`, `client.py` and `deliver.py` only).
Start reading at `deliver.py` (one try of one delivery), then `resolve.py` and `guard.py` (where it may go).
"""
