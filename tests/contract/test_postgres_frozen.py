"""Postgres that keeps its connections but does not answer: calls end within their bound, and go on once it is back."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from connectors.postgres import connection as connections
from connectors.postgres.call_guard import GUARD
from connectors.postgres.connection import ConnectionLimits, connect
from connectors.postgres.delivery_store import PostgresDeliveryStore
from connectors.postgres.sink_store import PostgresSinkStore
from schemas.errors import Unreachable
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack

SHORT = ConnectionLimits(statement_s=0.3, grace_s=0.3)


@pytest.mark.parametrize(
    ("store_class", "call"),
    [
        (PostgresDeliveryStore, lambda store: store.renew(b"n" * 16, 1.0)),
        (PostgresSinkStore, lambda store: store.learn_topics({b"t" * 16: "requests.echo"})),
    ],
    ids=["a query", "a prepared statement"],
)
def test_a_call_to_a_frozen_postgres_ends_and_the_store_recovers(
    database: str, store_class: Any, call: Callable[[Any], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_class, "limits", SHORT)
    with store_class(database) as store:
        call(store)
        server = store._connection.info.backend_pid
        os.kill(server, signal.SIGSTOP)
        try:
            with pytest.raises(Unreachable, match=r"no answer within 0\.6 s"):
                call(store)
            call(store)  # on a new connection
        finally:
            os.kill(server, signal.SIGCONT)
        call(store)


def test_a_call_to_a_frozen_postgres_can_be_ended_by_another_thread(database: str) -> None:
    """A service that stops has no time to wait for the bound."""
    with PostgresDeliveryStore(database) as store:
        store.renew(b"n" * 16, 1.0)
        assert store._connection is not None
        server = store._connection.info.backend_pid
        os.kill(server, signal.SIGSTOP)
        try:
            with ThreadPoolExecutor(1) as pool:
                call = pool.submit(store.renew, b"n" * 16, 1.0)
                wait_until(lambda: bool(GUARD._calls), lambda: "the call has not begun")
                store.abort()
                assert isinstance(call.exception(timeout=5), Unreachable)
        finally:
            os.kill(server, signal.SIGCONT)


def test_every_connection_has_timeouts_and_those_of_the_address_go_first(database: str) -> None:
    with connect(database) as connection:
        shown = [
            connection.execute(f"SHOW {name}".encode()).fetchone() for name in ("statement_timeout", "lock_timeout")
        ]
        parameters = connection.info.get_parameters()
    assert shown == [("30s",), ("10s",)]
    assert (parameters["connect_timeout"], parameters["tcp_user_timeout"]) == ("5", "10000")
    address = f"{database}?connect_timeout=7&options=-c%20statement_timeout%3D1500"
    opened, bound_s = connections.open_bounded(address, application="sluice test")
    with opened:
        assert opened.execute("SHOW lock_timeout").fetchone() == ("10s",)
        assert opened.info.get_parameters()["connect_timeout"] == "7"
    assert bound_s == 1.5 + ConnectionLimits().grace_s
