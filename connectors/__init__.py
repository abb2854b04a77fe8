"""Adapters to outside systems: Postgres, callbacks, object storage, the schema registry over HTTP; and the stores' ports.

May import: connectors.callbacks; besides schemas: aiohttp, httpx2, obstore. Never processors or streams.
Start reading at `sink_store.py` (the sink's port), then `postgres/` (its tables) and `callbacks/` (how a backend is notified).
"""
