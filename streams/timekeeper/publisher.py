"""Publishes the timekeeper's records and waits until the broker has confirmed them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from schemas.errors import SluiceError
from streams.log import kafka
from streams.log.confirmed_producer import ConfirmedProducer
from streams.settings import Settings

TIMEOUT_S = 30.0


class RecordPublisher:
    """`put` any number of records, then `flush`. For one thread. `on_wait` is called about once a second while it waits."""

    def __init__(self, settings: Settings, on_wait: Callable[[], None]) -> None:
        self._records = ConfirmedProducer(kafka.producer(settings), "record", TIMEOUT_S, on_wait)

    def put(self, topic: str, key: bytes | None, value: bytes, headers: Mapping[str, Any]) -> None:
        """Queue one record. Raises Unreachable, SluiceError."""
        self._records.produce(topic, value, key, list(headers.items()))

    def flush(self) -> None:
        """Wait until every record is confirmed. Raises Unreachable, SluiceError; unconfirmed records are then dropped."""
        try:
            self._records.flush()
        except SluiceError:
            self._records.purge()
            raise
