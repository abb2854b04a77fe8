"""A store that was used before a fork: the child connects by itself and leaves the parent's session alone."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
from psycopg.pq import ConnStatus

from connectors.postgres.base import PostgresStore


class FakeConnection:
    def __init__(self) -> None:
        self.pgconn = SimpleNamespace(status=ConnStatus.OK)
        self.closed = False

    def close(self) -> None:
        self.closed = True


def test_a_forked_child_opens_a_connection_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []

    def connect(dsn: str, **more: Any) -> tuple[Any, float]:
        opened.append(FakeConnection())
        return opened[-1], 60.0

    monkeypatch.setattr("connectors.postgres.base.open_bounded", connect)
    store = PostgresStore("postgresql://h/d")
    with store._connected("parent") as first, store._connected("parent") as again:
        assert first is again
    child = os.getpid() + 1
    monkeypatch.setattr("connectors.postgres.base.os.getpid", lambda: child)
    with store._connected("child") as connection:
        assert connection is not first
    store.close()
    assert [each.closed for each in opened] == [False, True]
