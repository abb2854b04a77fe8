"""A loop's sign of life. The loop writes one attribute a turn; whoever wants to know looks at it from another thread."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from schemas.errors import ConnectionFailed, Unreachable

T = TypeVar("T")


class LoopHealth:
    """`patience_s`: how long a turn may take before the loop counts as hung; infinity for a loop that is only seen to wait.

    While `waits_for` names something outside (see `watched`), silence is that one's and not the loop's.
    """

    __slots__ = ("at", "loop", "patience_s", "trouble", "waits_for", "waits_since")

    def __init__(self, loop: str, patience_s: float = math.inf) -> None:
        self.loop = loop
        self.patience_s = patience_s
        self.at = time.monotonic()
        self.waits_for: str | None = None
        self.waits_since = 0.0
        #: What the last call outside failed with; None after one that did not.
        self.trouble: str | None = None

    def beat(self) -> None:
        """The loop has turned."""
        self.at = time.monotonic()


def thread_died(thread: threading.Thread, stop: threading.Event, loop: str) -> str | None:
    """What to tell of a loop's thread that has ended though nobody told it to; None while all is well."""
    over = thread.ident is not None and not thread.is_alive() and not stop.is_set()
    return f"the {loop} has ended; its error is in the log" if over else None


def tracked(target: T, pulse: LoopHealth, name: str) -> T:
    """`target`, whose every call is noted in `pulse` as waiting for `name`. Costs about a microsecond a call."""
    return cast(T, _Tracked(target, pulse, name))


class _Tracked:
    def __init__(self, target: Any, pulse: LoopHealth, name: str) -> None:
        self._target = target
        self._pulse = pulse
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._target, attribute)
        if not callable(found):
            return found
        noted = self._noted(found)
        self.__dict__[attribute] = noted  # the next call finds it without asking
        return noted

    def _noted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        pulse, name = self._pulse, self._name

        def noted(*args: Any, **kwargs: Any) -> Any:
            pulse.waits_since, pulse.waits_for = time.monotonic(), name
            try:
                answer = call(*args, **kwargs)
            except (Unreachable, ConnectionFailed) as error:
                pulse.trouble = error.message
                raise
            finally:
                pulse.waits_for, pulse.at = None, time.monotonic()
            pulse.trouble = None
            return answer

        return noted
