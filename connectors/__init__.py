"""The outside: Postgres, callbacks, object storage, the schema registry over HTTP.

May import: schemas, psycopg, aiohttp, httpx2, obstore. Never processors.
Start reading at `postgres/` (where outcomes are kept) and `callbacks/` (how a backend is told).
"""
