"""Ends a call to a server when its time is over or its job is cancelled, however slowly the server sends, or not at all."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from processors.language.model import ModelUnavailable
from schemas.errors import JobCancelled

#: Seconds between two looks.
POLL_S = 0.1
_OPENED = ("connect_tcp.complete", "connect_unix_socket.complete", "start_tls.complete")


class CallWatch:
    """A context manager around a call. A thread shuts the connection down, so that the blocked read of the caller ends.

    Give `trace` to httpx as the request's extension of this name; httpx then reports the connection that it opened.
    """

    def __init__(self, server: str, timeout_s: float, cancelled: Callable[[], bool]) -> None:
        self._server = server
        self._timeout_s = timeout_s
        self._until = time.monotonic() + timeout_s
        self._cancelled = cancelled
        self._connection: Any = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="language-call", daemon=True)

    def __enter__(self) -> CallWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Remember the connection: httpx calls this for each step of a request."""
        if event.endswith(_OPENED):
            self._connection = info["return_value"]

    def check(self) -> None:
        """Raise JobCancelled if the job is cancelled, ModelUnavailable if the time is over."""
        if self._cancelled():
            raise JobCancelled("Stopped while the language model was answering.")
        if time.monotonic() >= self._until:
            raise ModelUnavailable(
                f"The language model at {self._server} gave no whole answer within {self._timeout_s:g} s.",
                reason="timeout",
                next_step="Set LLM_TIMEOUT_S higher, or ask for fewer tokens.",
            )

    def _watch(self) -> None:
        while not self._over.wait(POLL_S):
            if self._cancelled() or time.monotonic() >= self._until:
                self._shut()

    def _shut(self) -> None:
        """Shut the connection down; the thread that uses it closes it."""
        connection = self._connection
        found = None if connection is None else connection.get_extra_info("socket")
        if isinstance(found, socket.socket):
            with contextlib.suppress(OSError):  # closed already
                socket.socket.shutdown(found, socket.SHUT_RDWR)  # not SSLSocket's own, which first drops the TLS state
