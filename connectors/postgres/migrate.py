"""Applies numbered migrations, each once and in order, by one runner at a time."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from connectors.postgres.connection import MIGRATION, Connection, connect, translated
from schemas.errors import Conflict, Unreachable

FOLDER = Path(__file__).parent / "migrations"
#: First line of a file that can't run in a transaction (CREATE INDEX CONCURRENTLY). Such a file holds one statement.
NO_TRANSACTION = "-- no-transaction"
_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_LOCK = 0x51C1CE  # any fixed number; the session that holds this lock migrates
_TURN_S = 0.2

_APPLIED_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
)"""


@dataclass(frozen=True, slots=True)
class Migration:
    name: str
    sql: str
    sha256: str

    @property
    def transactional(self) -> bool:
        return not self.sql.startswith(NO_TRANSACTION)


def migrate(dsn: str) -> list[str]:
    """Apply the missing migrations and return their names. Waits for another runner that is migrating.

    Raises Unreachable, and Conflict if the file of an applied migration was changed.
    """
    with connect(dsn, application="sluice migrate", limits=MIGRATION) as connection, translated("migrating"):
        _wait_for_the_lock(connection)
        connection.execute("SET client_min_messages = warning")
        connection.execute(_APPLIED_TABLE)
        missing = _missing(connection, migrations())
        for migration in missing:
            _apply(connection, migration)
        return [migration.name for migration in missing]


def _wait_for_the_lock(connection: Connection) -> None:
    """Ask for the lock again and again. A statement that waits for it would be a transaction, and CREATE INDEX CONCURRENTLY of
    the runner that holds the lock waits for all transactions: a deadlock."""
    until = time.monotonic() + MIGRATION.statement_s
    while connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone() != (True,):
        if time.monotonic() > until:
            raise Unreachable(
                "Another runner has been migrating this database for an hour.",
                next_step="Look for its session in pg_stat_activity, named `sluice migrate`.",
            )
        time.sleep(_TURN_S)


def pending(dsn: str) -> list[str]:
    """Return the names of the migrations that this database lacks, without changing it. Raises as `migrate` does."""
    with (
        connect(dsn, application="sluice migrate", limits=MIGRATION) as connection,
        translated("reading the migrations"),
    ):
        found = connection.execute("SELECT to_regclass('schema_migrations') IS NOT NULL").fetchone()
        wanted = migrations()
        missing = _missing(connection, wanted) if found and found[0] else list(wanted)
        return [migration.name for migration in missing]


@cache
def migrations() -> tuple[Migration, ...]:
    """Return every migration of this version, in order."""
    files = sorted(path for path in FOLDER.iterdir() if _NAME.fullmatch(path.name))
    return tuple(_read(path) for path in files)


def _read(path: Path) -> Migration:
    sql = path.read_text(encoding="utf-8")
    return Migration(path.stem, sql, hashlib.sha256(sql.encode()).hexdigest())


def _missing(connection: Connection, wanted: tuple[Migration, ...]) -> list[Migration]:
    applied = dict(connection.execute("SELECT name, sha256 FROM schema_migrations").fetchall())
    changed = [m.name for m in wanted if applied.get(m.name, m.sha256) != m.sha256]
    if changed:
        raise Conflict(
            f"The migration {changed[0]} was changed after it was applied to this database.",
            next_step="Undo the edit and write a new migration: an applied one must not change.",
        )
    return [m for m in wanted if m.name not in applied]


def _apply(connection: Connection, migration: Migration) -> None:
    if not migration.transactional:
        connection.execute(migration.sql.encode())
        _record(connection, migration)
        return
    with connection.transaction():
        # Failing (and running again) is better than queueing every reader behind a lock that this statement waits for.
        connection.execute("SET LOCAL lock_timeout = '5s'")
        connection.execute(migration.sql.encode())
        _record(connection, migration)


def _record(connection: Connection, migration: Migration) -> None:
    connection.execute(
        "INSERT INTO schema_migrations (name, sha256) VALUES (%s, %s)", (migration.name, migration.sha256)
    )
