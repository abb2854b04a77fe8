"""Connections to Postgres: no error quotes a password, and no call waits longer than its bound."""

from __future__ import annotations

import socket
import traceback
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from connectors.postgres import call_guard
from connectors.postgres.call_guard import CallGuard
from connectors.postgres.connection import connect, fault, translated
from schemas.errors import SluiceError, Unreachable, UsageError

MALFORMED = [
    "postgres//sluice:s3cret@host/db",
    "postgresql://sluice:s3cret%@host/db",
    "postgresql://sluice:s3cret@more@127.0.0.1/db",
    "postgresql://sluice:s3cret/more@127.0.0.1/db",
    "postgresql://sluice:12/s3cret@127.0.0.1/db",
    "postgresql://sluice@127.0.0.1/db?pasword=s3cret",
    "host=127.0.0.1 password=my s3cret",
    "host=127.0.0.1 password=my s3cret=1",
    "host=127.0.0.1 password='s3cret",
    "s3cret",
]


@pytest.mark.parametrize("dsn", MALFORMED)
def test_an_error_about_a_malformed_address_quotes_no_part_of_it(dsn: str) -> None:
    with pytest.raises(UsageError, match="DATABASE_URL") as caught:
        connect(dsn)
    shown = "".join(traceback.format_exception(caught.value)) + str(caught.value.next_step)
    assert "s3cret" not in shown
    assert "s3cret" not in str(fault(dsn))


def test_a_refused_connection_is_an_unreachable_postgres_without_a_password() -> None:
    dsn = "postgresql://sluice:{}@127.0.0.1:1/db".format("s3cret")
    with pytest.raises(Unreachable) as caught:
        connect(dsn)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_a_call_without_an_answer_fails_after_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_guard, "TURN_S", 0.01)
    mine, frozen = socket.socketpair()
    connection: Any = SimpleNamespace(pgconn=SimpleNamespace(socket=mine.fileno()))

    def waits() -> None:
        with translated("storing a batch"), CallGuard().bounded(connection, 0.05):
            assert mine.recv(1) == b""  # as libpq waits; without a bound it never returns
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    with (
        mine,
        frozen,
        pytest.raises(Unreachable, match=r"did not answer while storing a batch: no answer within 0\.05 s"),
    ):
        waits()


def test_an_error_within_the_bound_is_the_error_of_the_call() -> None:
    connection: Any = None  # touched only after the bound
    with (
        pytest.raises(SluiceError, match="out of memory"),
        translated("storing a batch"),
        CallGuard().bounded(connection, 5.0),
    ):
        raise psycopg.OperationalError("out of memory")
