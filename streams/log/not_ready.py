"""Repeats a call while Kafka is not ready for it. (`reconnect.py` waits for anything that is unreachable.)"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

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


def retry_until_ready(ask: Callable[[], T], timeout_s: float = TIMEOUT_S) -> T:
    """Return what `ask` returns, calling again for up to `timeout_s` while Kafka is not ready. Raises KafkaException."""
    until = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in _NOT_YET or time.monotonic() > until:
                raise
            time.sleep(_PAUSE_S)
