"""Postgres: the tables (`migrations/*.sql`), the statements (`queries/*.sql`) and thin classes that run them.

May import: schemas, connectors (the ports), psycopg (imported nowhere else).
Start reading at `migrations/0001_jobs.sql`, then `queries/store_batch.sql`, then `base.py` (the base of every store).
"""

from __future__ import annotations

from connectors.postgres.migrate import migrate, pending

__all__ = ["migrate", "pending"]
