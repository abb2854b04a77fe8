"""The health of a service's loop. The loop writes one attribute a turn; other threads read it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from schemas.errors import ConnectionFailed, Unreachable

T = TypeVar("T")


class LoopHealth:
    """`patience_s`: seconds a turn may take before the loop counts as hung; infinity if only its waits matter.

    While `waits_for` names a dependency (see `tracked`), the silence is the dependency's, not the loop's.
    """

    __slots__ = ("at", "fault", "loop", "patience_s", "waits_for", "waits_since")

    def __init__(self, loop: str, patience_s: float = math.inf) -> None:
        self.loop = loop
        self.patience_s = patience_s
        #: Monotonic time of the last turn.
        self.at = time.monotonic()
        self.waits_for: str | None = None
        self.waits_since = 0.0
        #: Error of the last call to a dependency; None after a successful one.
        self.fault: str | None = None

    def beat(self) -> None:
        """Note a turn of the loop."""
        self.at = time.monotonic()


def thread_died(thread: threading.Thread, stop: threading.Event, loop: str) -> str | None:
    """Return a sentence if a loop's thread has ended without being stopped, else None."""
    died = thread.ident is not None and not thread.is_alive() and not stop.is_set()
    return f"the {loop} has ended; its error is in the log" if died else None


def tracked(target: T, loop_health: LoopHealth, name: str) -> T:
    """Wrap `target` so that `loop_health` shows each call as waiting for `name`. Costs about 1 µs a call."""
    return cast(T, _Tracked(target, loop_health, name))


class _Tracked:
    def __init__(self, target: Any, loop_health: LoopHealth, name: str) -> None:
        self._target = target
        self._loop_health = loop_health
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._target, attribute)
        if not callable(found):
            return found
        wrapped = self._wrap(found)
        self.__dict__[attribute] = wrapped  # later calls do not come here again
        return wrapped

    def _wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        health, name = self._loop_health, self._name

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            health.waits_since, health.waits_for = time.monotonic(), name
            try:
                result = call(*args, **kwargs)
            except (Unreachable, ConnectionFailed) as error:
                health.fault = error.message
                raise
            finally:
                health.waits_for, health.at = None, time.monotonic()
            health.fault = None
            return result

        return wrapped
