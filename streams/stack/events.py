"""What the stack tells whoever watches it: one event a line, made to be shown as it is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class EventKind(StrEnum):
    WAITING = "waiting"  # another command holds the stack's lock
    DOWNLOAD = "download"  # `done` of `total` bytes
    STARTING = "starting"
    READY = "ready"
    REUSED = "reused"  # it was already running and answers
    RECOVERED = "recovered"  # it had died since the last `up`
    PORT = "port"  # the usual port was taken, another one is used
    PERMISSION = "permission"  # a folder above the program was opened so that Postgres' own user can pass
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class StackEvent:
    kind: EventKind
    component: str
    """The component or service it is about; empty for the stack as a whole."""
    message: str
    done: int = 0
    total: int = 0


class Reporter:
    """Hands events on one at a time, whichever thread they come from."""

    def __init__(self, on_event: Callable[[StackEvent], None] | None) -> None:
        self._on_event = on_event
        self._lock = threading.Lock()

    def __call__(self, kind: EventKind, component: str, message: str, *, done: int = 0, total: int = 0) -> None:
        if self._on_event is None:
            return
        with self._lock:
            self._on_event(StackEvent(kind, component, message, done, total))
