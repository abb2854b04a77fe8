"""Migrations on a real database: applied once each, by one runner at a time, and never edited afterwards."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import sql

from connectors.postgres import migrate, pending
from connectors.postgres.job_store import PostgresJobStore
from connectors.postgres.migrate import migrations
from schemas.errors import Conflict, Unreachable, UsageError
from tests.harness.databases import at, drop_database

pytestmark = pytest.mark.stack


@pytest.fixture
def empty(stack: dict[str, str]) -> Iterator[str]:
    """Create an empty database and return its address."""
    name = f"m{uuid.uuid4().hex[:10]}"
    with psycopg.connect(stack["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield at(stack["DATABASE_URL"], name)
    drop_database(stack["DATABASE_URL"], name)


def test_every_migration_is_applied_once_and_in_order(empty: str) -> None:
    names = [migration.name for migration in migrations()]
    assert pending(empty) == names == sorted(names)
    assert migrate(empty) == names
    assert (migrate(empty), pending(empty)) == ([], [])


def test_runners_that_start_together_apply_each_migration_once(empty: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        applied = [name for names in pool.map(migrate, [empty] * 4) for name in names]
    assert sorted(applied) == [migration.name for migration in migrations()]


def test_a_migration_that_was_edited_after_it_was_applied_is_refused_by_name(empty: str) -> None:
    migrate(empty)
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("UPDATE schema_migrations SET sha256 = 'other' WHERE name = '0001_jobs'")
    with pytest.raises(Conflict, match="0001_jobs"):
        migrate(empty)


def test_a_database_without_tables_names_the_command_to_run(empty: str) -> None:
    with PostgresJobStore(empty) as store, pytest.raises(UsageError, match="sluice migrate"):
        store.counts()


def test_a_missing_database_is_unreachable() -> None:
    with pytest.raises(Unreachable):
        migrate("postgresql://127.0.0.1:9/none")
