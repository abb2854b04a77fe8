"""Callbacks: telling a backend how its job ended, signed, guarded and bounded.

May import: schemas, the standard library, aiohttp (in `connect.py`, `client.py` and `deliver.py` only).
Start reading at `deliver.py` (one try of one delivery), then `resolve.py` and `guard.py` (where it may go).
"""
