"""Repeats a call until a service is reachable. (Retries of jobs: streams/worker/child/retry.py.)"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from itertools import chain, repeat
from typing import Any, TypeVar

from schemas.errors import Unreachable

T = TypeVar("T")


class Stopped(Exception):
    """The service was stopped while it waited for something unreachable: the call was not made."""


def until_reachable(
    ask: Callable[[], T],
    stop: threading.Event,
    log: Any,
    event: str,
    *,
    pauses: Sequence[float] = (1.0,),
    limit_s: float = math.inf,
) -> T:
    """Return what `ask` returns, calling again while it raises Unreachable; each failure is logged as `event`.

    `pauses`: seconds between the calls, the last one repeats. Raises Stopped once `stop` is set during a pause, and the
    Unreachable itself when `limit_s` has passed.
    """
    until = time.monotonic() + limit_s
    for pause in chain(pauses, repeat(pauses[-1])):
        try:
            return ask()
        except Unreachable as error:
            if time.monotonic() >= until:
                raise
            log.warning(event, reason=str(error), retry_in_s=pause)
            if stop.wait(pause):
                raise Stopped from error
    raise AssertionError("the pauses never end")
