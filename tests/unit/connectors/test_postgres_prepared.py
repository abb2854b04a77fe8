"""Statements that a store prepares stay prepared; a connection that lost them is replaced."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from psycopg import errors
from psycopg.pq import ConnStatus, ExecStatus

from connectors.postgres.base import PostgresStore
from connectors.postgres.batch_store import PostgresBatchStore
from connectors.postgres.job_store import PostgresJobStore
from schemas.errors import Unreachable


class FakeConnection:
    def __init__(self) -> None:
        prepared = SimpleNamespace(status=ExecStatus.COMMAND_OK)
        self.pgconn = SimpleNamespace(status=ConnStatus.OK, prepare=lambda *_: prepared)
        self.prepare_threshold: int | None = 5
        self.closed = False

    def execute(self, _: bytes) -> None: ...

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.postgres.base.open_bounded", lambda dsn, **more: (FakeConnection(), 60.0))


@pytest.mark.parametrize(("store_class", "threshold"), [(PostgresBatchStore, None), (PostgresJobStore, 5)])
def test_psycopg_prepares_nothing_beside_our_statements_because_it_would_drop_them_after_a_rollback(
    store_class: type[PostgresStore], threshold: int | None
) -> None:
    with store_class("postgresql://h/d") as store, store._connected("trying") as connection:
        assert connection.prepare_threshold == threshold


def test_a_connection_that_lost_a_prepared_statement_is_replaced() -> None:
    with PostgresBatchStore("postgresql://h/d") as store:
        with pytest.raises(Unreachable, match="prepared statement"), store._connected("trying") as first:
            raise errors.InvalidSqlStatementName("it does not exist")
        with store._connected("trying again") as second:
            assert second is not first
        lost: Any = first
        assert lost.closed
