"""A migrated database for each test, copied from a template that is migrated once."""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from connectors.postgres import migrate
from connectors.postgres.migrate import migrations

#: Named after its migrations: a stack may outlive a change of them.
TEMPLATE = f"sluice_test_{hashlib.sha256(''.join(m.sha256 for m in migrations()).encode()).hexdigest()[:12]}"


def at(dsn: str, name: str) -> str:
    """Return the same server's address, with another database."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


def create_database(server: str, name: str) -> str:
    """Create a migrated database called `name`; return its address."""
    with psycopg.connect(server, autocommit=True) as connection:
        # The lock is released with the connection.
        connection.execute("SELECT pg_advisory_lock(hashtext(%s))", (TEMPLATE,))
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (TEMPLATE,)).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
            migrate(at(server, TEMPLATE))
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(TEMPLATE))
        )
    return at(server, name)


def without_fsync(server: str) -> None:
    """Let commits not wait for the disk: the server of the tests need not survive a loss of power."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")


def drop_database(server: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def empty_database(database: str) -> None:
    """Delete every row of every table, except the list of applied migrations."""
    with psycopg.connect(database, autocommit=True) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        tables = [sql.Identifier(name) for (name,) in found if name != "schema_migrations"]
        connection.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(tables)))
