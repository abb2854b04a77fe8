"""Ends calls to Postgres that get no answer within their bound, whatever the server does.

A server that is frozen, or whose host hangs, keeps its connections as far as TCP can see, and can't act on its own timeouts.
libpq would wait for it without end, so a thread shuts the connection's socket down: the call then fails.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg

#: Seconds between two looks at the calls that run.
TURN_S = 0.25


@dataclass(slots=True, eq=False)
class _Call:
    connection: psycopg.Connection[Any]
    until: float
    expired: bool = False


class CallGuard:
    """Shared by all connections of a process. Its thread is started with the first call, and again if it has ended (a fork)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[int, _Call] = {}
        self._thread: threading.Thread | None = None

    @contextmanager
    def bounded(self, connection: psycopg.Connection[Any], seconds: float) -> Iterator[None]:
        """Make the block's calls on this connection fail after so many seconds. Raises OperationalError then."""
        call = _Call(connection, time.monotonic() + seconds)
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._watch, name="postgres-guard", daemon=True)
            self._thread.start()
        with self._lock:
            self._calls[id(call)] = call
        try:
            yield
        except psycopg.Error as error:
            if call.expired:
                raise psycopg.OperationalError(f"no answer within {seconds:g} s") from error
            raise
        finally:
            with self._lock:
                self._calls.pop(id(call), None)

    def end(self, connection: psycopg.Connection[Any] | None) -> None:
        """Make the call that runs on this connection fail now."""
        with self._lock:
            for call in self._calls.values():
                if call.connection is connection:
                    call.until = 0.0

    def _watch(self) -> None:
        while True:
            time.sleep(TURN_S)
            now = time.monotonic()
            # While the lock is held, no call ends, so a socket that is shut down still belongs to its call.
            with self._lock:
                for key, call in [*self._calls.items()]:
                    if call.until <= now:
                        del self._calls[key]
                        call.expired = True
                        _shut_down(call.connection)


def _shut_down(connection: psycopg.Connection[Any]) -> None:
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.pgconn.socket)) as same:
        same.shutdown(socket.SHUT_RDWR)


GUARD = CallGuard()
