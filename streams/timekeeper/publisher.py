"""Publishes the timekeeper's records and says of each one whether the broker has confirmed it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException

from schemas.errors import SluiceError, Unreachable
from streams.log import kafka
from streams.log.confirmed_producer import QUEUE_FULL_S, ConfirmedProducer
from streams.settings import Settings

#: Longer than a record stays in the client's queue, so that each gets its report: one that is given up earlier may be
#: written all the same, and then written again.
TIMEOUT_S = QUEUE_FULL_S

#: Records that are put one after another go together: each request costs the broker and every reader more than a record does.
#: A flush does not wait for it.
LINGER_MS = 20


class Discarded(Unreachable):
    """Kafka took no record, or leadership was lost: all queued records were given up."""


class _Record(NamedTuple):
    topic: str
    value: bytes | None
    key: bytes | None
    headers: list[tuple[str, Any]]


class RecordPublisher:
    """`put` any number of records, then `flush`. For one thread. `on_wait` is called about once a second while it waits."""

    def __init__(self, settings: Settings, on_wait: Callable[[], None]) -> None:
        self.on_wait = on_wait
        producer = kafka.producer(settings, **{"linger.ms": LINGER_MS})
        self._producer = ConfirmedProducer(producer, "record", TIMEOUT_S, on_wait)
        self._queued: dict[Hashable, _Record] = {}
        self._errors: dict[Hashable, KafkaError] = {}

    def put(
        self,
        name: Hashable,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Mapping[str, Any] | None = None,
    ) -> None:
        """Queue one record under a name that no other queued one has. Raises Discarded when there is no room for long."""
        record = self._queued[name] = _Record(topic, value, key, list((headers or {}).items()))
        try:
            self._send(name, record)
        except Unreachable as error:
            self._discard()
            raise Discarded(error.message, next_step=error.next_step) from error
        except BaseException:
            self._discard()
            raise

    def flush(self) -> dict[Any, KafkaError]:
        """Wait until each record has its delivery report. Return the errors of those that Kafka did not take, by name.

        Raises Unreachable when `on_wait` does: all records are given up then.
        """
        try:
            self._producer.flush()
            # Kafka also refuses a batch for its size: each of its records may well fit by itself.
            large = [name for name, error in self._errors.items() if error.code() == KafkaError.MSG_SIZE_TOO_LARGE]
            for name in large:
                del self._errors[name]
                self._send(name, self._queued[name])
                self._producer.flush()
            return self._errors
        except SluiceError:
            self._producer.purge()  # reports each record that is left as failed
            raise
        finally:
            self._queued, self._errors = {}, {}

    def _send(self, name: Hashable, record: _Record) -> None:
        failed = partial(self._errors.__setitem__, name)
        try:
            self._producer.produce(*record, on_failed=failed)
        except Unreachable:
            raise
        except SluiceError as error:  # the client refuses this one
            cause = error.__cause__
            if not isinstance(cause, KafkaException):
                raise
            failed(cause.args[0])

    def _discard(self) -> None:
        self._producer.purge()
        self._queued, self._errors = {}, {}
