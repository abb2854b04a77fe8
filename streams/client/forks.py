"""Kafka clients in programs that fork after they have made one (gunicorn --preload, Celery prefork, multiprocessing).

A forked child lacks the client's threads. The client would wait there until its time is over, and end the process by a
segmentation fault when it is freed, at the latest at exit.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any
from weakref import WeakSet

from schemas.errors import UsageError


class ForkGuard:
    """Knows in which process its client was made, and keeps a forked child from freeing it."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self._pid = os.getpid()
        _guards.add(self)

    @property
    def inherited(self) -> bool:
        """True in a child that was forked after the client was made."""
        return os.getpid() != self._pid

    def refuse_inherited(self, what: str) -> None:
        """Raise UsageError in a forked child. `what`: the class that the caller made."""
        if self.inherited:
            raise UsageError(
                f"This {what} was made before a fork and can't be used in the child.",
                next_step="Make one in each process, after the fork.",
            )


_guards: WeakSet[ForkGuard] = WeakSet()


def _never_free() -> None:
    for guard in list(_guards):
        if guard.inherited:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(guard.client))


os.register_at_fork(after_in_child=_never_free)
