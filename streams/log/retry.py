"""Asking again what a broker can't answer yet: while it makes its offsets topic, and until new topics are known to all."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

T = TypeVar("T")

TIMEOUT_S = 15.0
_PAUSE_S = 0.05
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


def retry_until_ready(ask: Callable[[], T]) -> T:
    """What `ask` returns, tried again for a while as long as the answer is "not yet". Raises KafkaException."""
    until = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in _NOT_YET or time.monotonic() > until:
                raise
            time.sleep(_PAUSE_S)
