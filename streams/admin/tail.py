"""Reads a topic's records, decoded, with their coordinates: for `sluice tail`, on a terminal or as JSON.

Joins no group and commits nothing. Records that can't be decoded are shown as bytes, with the reason.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias, cast

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaError, Message, TopicPartition

from schemas.codec import Codec
from schemas.errors import UndecodableRecord
from streams import wiring
from streams.log import kafka
from streams.log.polling import poll_batch
from streams.log.port import LogConsumer
from streams.log.watermarks import watermarks
from streams.settings import Settings

Headers: TypeAlias = list[tuple[str, bytes | str | None]]

_BATCH = 200


@dataclass(frozen=True, slots=True)
class LogRecord:
    """`value`: the decoded record, or the raw bytes if it can't be decoded; then `undecodable` says why."""

    topic: str
    partition: int
    offset: int
    at: datetime | None
    key: str | None
    headers: Mapping[str, str]
    value: Any
    undecodable: str | None = None


class TopicReader:
    """A context manager; for one thread. "Now" is the moment at which it was opened.

    Opening raises NotFound, Unreachable.
    """

    def __init__(self, settings: Settings, topic: str) -> None:
        self._topic = topic
        self._resources = ExitStack()
        self._codec = Codec(self._resources.enter_context(wiring.open_registry(settings)))
        self._consumer: LogConsumer = kafka.reader(settings, **{"enable.partition.eof": True, "fetch.wait.max.ms": 50})
        self._resources.callback(self._consumer.close)
        self._unread: set[int] = set()
        try:
            self._ends = watermarks(self._consumer, topic)
        except BaseException:
            self._resources.close()
            raise

    def __enter__(self) -> TopicReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def last(self, count: int) -> list[LogRecord]:
        """Return the newest `count` records of all partitions together, oldest first."""
        begins = {number: max(low, end - count) for number, (low, end) in self._ends.items()}
        records = sorted(self._until_now(begins), key=_age)
        return records[-count:] if count else []

    def everything(self) -> Iterator[LogRecord]:
        """Yield all records up to now, in the order of each partition."""
        yield from self._until_now({number: low for number, (low, _) in self._ends.items()})

    def follow(self, stop: threading.Event) -> Iterator[LogRecord]:
        """Yield records from now on, until `stop` is set."""
        self._assign({number: end for number, (_, end) in self._ends.items()})
        while not stop.is_set():
            yield from self._read(0.2)

    def _until_now(self, begins: Mapping[int, int]) -> Iterator[LogRecord]:
        self._assign({number: offset for number, offset in begins.items() if offset < self._ends[number][1]})
        while self._unread:
            yield from (record for record in self._read(0.5) if record.offset < self._ends[record.partition][1])

    def _assign(self, begins: Mapping[int, int]) -> None:
        self._unread = set(begins)
        self._consumer.assign([TopicPartition(self._topic, number, offset) for number, offset in begins.items()])

    def _read(self, timeout_s: float) -> Iterator[LogRecord]:
        """Yield the next batch of records; note which partitions are read up to now."""
        for message in poll_batch(self._consumer, _BATCH, timeout_s):
            error = message.error()
            if error is None:
                record = decoded(message, self._codec)
                if record.offset + 1 >= self._ends[record.partition][1]:
                    self._unread.discard(record.partition)
                yield record
            elif error.code() == KafkaError._PARTITION_EOF:
                self._unread.discard(int(message.partition() or 0))
            else:
                raise kafka.translate(error, f"reading {self._topic}")


def last(settings: Settings, topic: str, count: int) -> list[LogRecord]:
    """Return the newest `count` records of a topic, oldest first. Raises NotFound, Unreachable."""
    with TopicReader(settings, topic) as reader:
        return reader.last(count)


def decoded(message: Message, codec: Codec) -> LogRecord:
    """Return a message as a record; bytes that can't be decoded stay bytes."""
    value, reason = _value(message.value(), codec)
    kind, millis = message.timestamp()
    return LogRecord(
        topic=str(message.topic()),
        partition=int(message.partition() or 0),
        offset=int(message.offset() or 0),
        at=None if kind == TIMESTAMP_NOT_AVAILABLE else datetime.fromtimestamp(millis / 1000, UTC),
        key=_text(message.key()),
        headers={name: _text(content) or "" for name, content in cast("Headers", message.headers() or [])},
        value=value,
        undecodable=reason,
    )


def _age(record: LogRecord) -> tuple[datetime, int, int]:
    return (record.at or datetime.min.replace(tzinfo=UTC), record.partition, record.offset)


def _value(raw: bytes | None, codec: Codec) -> tuple[Any, str | None]:
    if raw is None:
        return None, None
    try:
        return codec.decode(raw), None
    except UndecodableRecord as error:
        return raw, error.message


def _text(content: bytes | str | None) -> str | None:
    return content.decode("utf-8", "backslashreplace") if isinstance(content, bytes) else content
