"""Opens connections and translates psycopg's errors into errors of our tree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from connectors.postgres.call_guard import GUARD
from connectors.sink_store import Unstorable
from schemas.errors import ErrorCode, SluiceError, Unreachable, UsageError

Connection = psycopg.Connection[Any]

#: Values that Postgres can't hold. Two of these classes are OperationalErrors, but trying again does not help.
UNSTORABLE = (psycopg.DataError, errors.ProgramLimitExceeded, errors.StatementTooComplex)


class DatabaseRefused(UsageError):
    """The database lacks our tables, or refuses a statement of ours. The caller of a command can mend it; a client of the
    gateway can't, so the code is not USAGE."""

    code = ErrorCode.INTERNAL


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Seconds that Postgres may take. Parameters of libpq in DATABASE_URL go before these: connect_timeout, tcp_user_timeout,
    keepalives_idle and others, and statement_timeout and lock_timeout in its `options`."""

    connect_s: int = 5
    #: A statement is ended by the server after this.
    statement_s: float = 30.0
    #: A statement that waits so long for a lock is ended by the server.
    lock_s: float = 10.0
    #: The kernel gives the connection up if sent data is not acknowledged for so long.
    unacknowledged_s: float = 10.0
    #: A call fails so long after `statement_s` if the server does not answer at all.
    grace_s: float = 5.0


LIMITS = ConnectionLimits()
#: A migration may wait for another runner, and build an index for long.
MIGRATION = ConnectionLimits(statement_s=3600.0, lock_s=0.0)
_PROBE = ConnectionLimits(connect_s=2, statement_s=2.0, lock_s=2.0, grace_s=1.0)

#: Sets a timeout that the session does not have yet; returns the seconds of the statement's.
_TIMEOUTS = """
    SELECT
        extract(epoch FROM set_config('statement_timeout', CASE current_setting('statement_timeout')
            WHEN '0' THEN %(statement)s ELSE current_setting('statement_timeout') END, false)::interval)::float8,
        set_config('lock_timeout', CASE current_setting('lock_timeout')
            WHEN '0' THEN %(lock)s ELSE current_setting('lock_timeout') END, false)
"""


def connect(dsn: str, *, application: str = "sluice", limits: ConnectionLimits = LIMITS) -> Connection:
    """Open an autocommit connection. Raises Unreachable, UsageError."""
    return open_bounded(dsn, application=application, limits=limits)[0]


def open_bounded(dsn: str, *, application: str, limits: ConnectionLimits = LIMITS) -> tuple[Connection, float]:
    """Open an autocommit connection; also return the seconds after which a call on it is to fail. Raises as `connect` does."""
    given = _parsed(dsn)
    defaults: dict[str, Any] = {
        "connect_timeout": limits.connect_s,
        "tcp_user_timeout": int(limits.unacknowledged_s * 1000),
        # Keepalives detect a host that vanished without closing the connection within about ten seconds.
        "keepalives_idle": 4,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "application_name": application,
    }
    options = {name: value for name, value in defaults.items() if name not in given}
    with translated("connecting"):
        connection = psycopg.connect(dsn, autocommit=True, **options)
        try:
            with GUARD.bounded(connection, limits.connect_s):
                timeouts = {"statement": f"{limits.statement_s:g}s", "lock": f"{limits.lock_s:g}s"}
                row = connection.execute(_TIMEOUTS, timeouts).fetchone()
        except BaseException:
            connection.close()
            raise
    statement_s = limits.statement_s if row is None else float(row[0])
    return connection, statement_s + limits.grace_s


def fault(dsn: str) -> str | None:
    """Return why Postgres can't be used, or None if it answers within two seconds."""
    try:
        connect(dsn, application="sluice health", limits=_PROBE).close()
    except SluiceError as error:
        return error.message
    return None


def _parsed(dsn: str) -> dict[str, Any]:
    """Return the parameters of a connection string. Raises UsageError for one that can't be read.

    The error quotes nothing, and has no cause that does: where a password has an @ or a / that is not percent-encoded, libpq
    takes parts of it for a host, a port or a database, and names them in its errors."""
    try:
        given = conninfo_to_dict(dsn)
    except psycopg.Error:
        given = {"host": "@"}
    ports = str(given.get("port", "")).split(",")
    odd = "@" in str(given.get("host", "")) or ("://" in dsn and "@" in str(given.get("dbname", "")))
    if odd or not all(port.isdecimal() for port in ports if port):
        raise UsageError(
            "DATABASE_URL can't be read as a connection string.",
            next_step="Write postgresql://user:password@host:5432/database, and percent-encode special characters of the "
            "password: %40 for @, %2F for /.",
        )
    return dict(given)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise errors of our tree instead of psycopg's. `doing` completes the sentence "Postgres failed while …"."""
    try:
        yield
    except errors.UndefinedTable as error:
        raise DatabaseRefused(
            f"Postgres lacks some of our tables ({_first_line(error)}).", next_step="Run `sluice migrate`."
        ) from error
    except UNSTORABLE as error:
        raise Unstorable(f"Postgres can't hold a row while {doing}: {type(error).__name__}.") from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise Unreachable(
            f"Postgres did not answer while {doing}: {_first_line(error)}.",
            next_step="Check DATABASE_URL; with the local stack, `sluice up` starts it.",
        ) from error
    except errors.InvalidSqlStatementName as error:
        raise Unreachable(f"Postgres lost a prepared statement while {doing}.", next_step="Try again.") from error
    except psycopg.ProgrammingError as error:
        raise DatabaseRefused(f"Postgres refused the statement while {doing}: {_first_line(error)}.") from error
    except psycopg.Error as error:
        raise SluiceError(f"Postgres failed while {doing}: {_first_line(error)}.") from error


def _first_line(error: BaseException) -> str:
    # Later lines (DETAIL, CONTEXT) quote values, which must not reach messages and logs.
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
