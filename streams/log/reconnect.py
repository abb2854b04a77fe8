"""Repeats a call until the broker is ready or a service is reachable. (Retries of jobs: streams/worker/child/retry.py.)"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from itertools import chain, repeat
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

from schemas.errors import Unreachable

T = TypeVar("T")

TIMEOUT_S = 15.0
_PAUSE_S = 0.05
#: A new broker makes its offsets topic at the first question, and new topics take a moment to be known to every broker.
_NOT_YET = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._WAIT_COORD,
    }
)


class Stopped(Exception):
    """The service was stopped while it waited for something unreachable: the call was not made."""


def retry_until_ready(ask: Callable[[], T]) -> T:
    """Return what `ask` returns, calling again for up to `TIMEOUT_S` while Kafka is not ready. Raises KafkaException."""
    until = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in _NOT_YET or time.monotonic() > until:
                raise
            time.sleep(_PAUSE_S)


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
