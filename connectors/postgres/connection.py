"""Opens connections and translates psycopg's errors into errors of our tree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors

from connectors.sink_store import Unstorable
from schemas.errors import SluiceError, Unreachable, UsageError

Connection = psycopg.Connection[Any]

#: Values that Postgres can't hold. Two of these classes are OperationalErrors, but trying again does not help.
UNSTORABLE = (psycopg.DataError, errors.ProgramLimitExceeded, errors.StatementTooComplex)


def connect(dsn: str, *, application: str = "sluice") -> Connection:
    """Open an autocommit connection. Raises Unreachable, UsageError."""
    with translated("connecting"):
        return psycopg.connect(
            dsn,
            autocommit=True,
            application_name=application,
            connect_timeout=5,
            # Keepalives detect a host that vanished without closing the connection within about ten seconds.
            keepalives_idle=4,
            keepalives_interval=2,
            keepalives_count=3,
        )


def fault(dsn: str) -> str | None:
    """Return why Postgres can't be used, or None if it answers within two seconds."""
    try:
        with translated("checking its health"), psycopg.connect(dsn, connect_timeout=2) as connection:
            connection.execute("SELECT 1")
    except SluiceError as error:
        return error.message
    return None


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise errors of our tree instead of psycopg's. `doing` completes the sentence "Postgres failed while …"."""
    try:
        yield
    except errors.UndefinedTable as error:
        raise UsageError(
            f"Postgres lacks some of our tables ({_first_line(error)}).", next_step="Run `sluice migrate`."
        ) from error
    except UNSTORABLE as error:
        raise Unstorable(f"Postgres can't hold a row while {doing}: {type(error).__name__}.") from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise Unreachable(
            f"Postgres did not answer while {doing}: {_first_line(error)}.",
            next_step="Check DATABASE_URL; with the local stack, `sluice up` starts it.",
        ) from error
    except psycopg.ProgrammingError as error:
        raise UsageError(f"Postgres refused the statement while {doing}: {_first_line(error)}.") from error
    except psycopg.Error as error:
        raise SluiceError(f"Postgres failed while {doing}: {_first_line(error)}.") from error


def _first_line(error: BaseException) -> str:
    # Later lines (DETAIL, CONTEXT) quote values, which must not reach messages and logs.
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
