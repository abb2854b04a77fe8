"""The events of the stack; each has a message of one line that can be shown as it is."""

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
    REUSED = "reused"  # was already running, and answers
    RECOVERED = "recovered"  # had died since the last `up`
    PORT = "port"  # its port was in use, so it gets another one
    PERMISSION = "permission"  # a folder was made passable for the user that Postgres runs as
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class StackEvent:
    kind: EventKind
    component: str
    """Name of the component or service; empty for the stack as a whole."""
    message: str
    done: int = 0
    total: int = 0


class Reporter:
    """Passes events on, one at a time, from any thread."""

    def __init__(self, on_event: Callable[[StackEvent], None] | None) -> None:
        self._on_event = on_event
        self._lock = threading.Lock()

    def __call__(self, kind: EventKind, component: str, message: str, *, done: int = 0, total: int = 0) -> None:
        if self._on_event is None:
            return
        with self._lock:
            self._on_event(StackEvent(kind, component, message, done, total))
