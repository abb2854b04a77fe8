"""Postgres: the tables (`migrations/*.sql`), the statements (`queries/*.sql`) and thin classes that run them.

May import: schemas, psycopg (only here). Start reading at `migrations/0001_jobs.sql`, then `queries/store_batch.sql`.
"""

from __future__ import annotations

from connectors.postgres.migrate import migrate, pending

__all__ = ["migrate", "pending"]
