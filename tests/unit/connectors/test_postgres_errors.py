"""Every error of psycopg leaves the stores as an error of our tree: temporarily unavailable, never storable, or a wrong use."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from psycopg import errors
from psycopg.pq import DiagnosticField, ExecStatus

from connectors.postgres.connection import UNSTORABLE, DatabaseRefused, translated
from connectors.postgres.statement import checked
from connectors.sink_store import Unstorable
from schemas.errors import SluiceError, Unreachable, UsageError


def subclasses(cls: type[psycopg.Error]) -> Iterator[type[psycopg.Error]]:
    yield cls
    for child in cls.__subclasses__():
        yield from subclasses(child)


EVERY_ERROR = sorted(set(subclasses(psycopg.Error)), key=lambda cls: cls.__name__)


def expected(cls: type[psycopg.Error]) -> type[SluiceError]:
    if issubclass(cls, UNSTORABLE):
        return Unstorable
    if issubclass(cls, psycopg.OperationalError | psycopg.InterfaceError | errors.InvalidSqlStatementName):
        return Unreachable
    return DatabaseRefused if issubclass(cls, psycopg.ProgrammingError) else SluiceError


def test_psycopgs_errors_are_all_found() -> None:
    assert len(EVERY_ERROR) > 250
    assert {errors.UndefinedTable, errors.DeadlockDetected, psycopg.DataError} <= set(EVERY_ERROR)


@pytest.mark.parametrize("cls", EVERY_ERROR, ids=lambda cls: cls.__name__)
def test_every_error_of_psycopg_is_translated(cls: type[psycopg.Error]) -> None:
    with pytest.raises(SluiceError) as caught, translated("storing commands"):
        raise cls("broken\nDETAIL: a value")
    assert type(caught.value) is expected(cls)
    assert "a value" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (errors.ProgramLimitExceeded("index row size"), Unstorable),
        (errors.StatementTooComplex("stack depth"), Unstorable),
        (errors.NumericValueOutOfRange("integer"), Unstorable),
        (psycopg.OperationalError("the connection was lost"), Unreachable),
        (errors.AdminShutdown("bye"), Unreachable),
    ],
)
def test_a_value_that_does_not_fit_is_not_reported_as_an_unreachable_database(
    error: psycopg.Error, ours: type[SluiceError]
) -> None:
    with pytest.raises(ours), translated("storing commands"):
        raise error


def test_a_missing_table_asks_for_the_migrations() -> None:
    with pytest.raises(UsageError, match="Run `sluice migrate`"), translated("reading a job"):
        raise errors.UndefinedTable('relation "jobs" does not exist')


def failed_result(state: bytes | None) -> Any:
    """The result of a failed statement with an SQLSTATE, or without one if the connection was lost."""
    return SimpleNamespace(
        status=ExecStatus.FATAL_ERROR,
        error_message=b"ERROR:  it failed",
        error_field=lambda field: state if field == DiagnosticField.SQLSTATE else None,
    )


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (b"40P01", errors.DeadlockDetected),
        (None, psycopg.OperationalError),
        (b"ZZ999", psycopg.DatabaseError),  # a code of an extension, which psycopg does not know
    ],
)
def test_a_failed_statement_raises_the_error_of_its_sqlstate(state: bytes | None, error: type[psycopg.Error]) -> None:
    with pytest.raises(error, match="it failed") as caught:
        checked(failed_result(state))
    assert type(caught.value) is error
