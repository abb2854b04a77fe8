"""Reads a topic's records, decoded, with their coordinates: for `sluice tail`, on a terminal or as JSON, and for the gateway.

Joins no group and commits nothing. Records that can't be decoded are shown as bytes, with the reason.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from schemas.codec import Codec
from streams import wiring
from streams.admin.log_range import LogRange, Span, range_of
from streams.admin.record_filter import RecordFilter, RecordMatcher
from streams.admin.records import LogRecord, RecordDecoder
from streams.admin.scan import Pass, Scan, age, follow, newest
from streams.log import kafka
from streams.log.port import LogConsumer
from streams.settings import Settings

ALL = RecordFilter()
EVERYTHING = Span()
#: A topic without gaps has its newest N records in the last N offsets of its partitions. Each further try reads more.
_WIDER = 8


class TopicReader:
    """A context manager; for one thread. "Now" is the moment at which it was opened.

    Opening raises NotFound, UsageError (for a filter that can't be used), Unreachable. `codec`: that of the caller, else one
    of its own.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        wanted: RecordFilter = ALL,
        span: Span = EVERYTHING,
        codec: Codec | None = None,
    ) -> None:
        self._resources = ExitStack()
        with ExitStack() as opened:
            own = codec or Codec(opened.enter_context(wiring.open_registry(settings)))
            self.matcher = RecordMatcher(wanted, RecordDecoder(own))
            self._consumer: LogConsumer = kafka.reader(settings, **FAST)
            opened.callback(self._consumer.close)
            self.range: LogRange = range_of(self._consumer, topic, span)
            self._resources = opened.pop_all()

    def __enter__(self) -> TopicReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def last(
        self, count: int, scan: Scan | None = None, on_batch: Callable[[Scan], None] = lambda _: None
    ) -> list[LogRecord]:
        """Return the newest `count` records of all partitions together that the filter selects, oldest first.

        With `scan` the whole range is read: for filters that select few."""
        if scan is not None:
            return newest(self.scan(scan, on_batch), count)
        width = count
        while True:
            parts = {number: (max(low, end - width), end) for number, (low, end) in self.range.parts.items()}
            chosen = LogRange(self.range.topic, parts if width else {}, ends=self.range.ends)
            found = list(Pass(self._consumer, chosen, self.matcher, Scan(chosen.total)).records())
            if len(found) >= count or parts == dict(self.range.parts):
                return sorted(found, key=age)[-count:] if count else []
            width *= _WIDER  # markers of transactions and compacted records leave gaps

    def everything(self) -> Iterator[LogRecord]:
        """Yield all selected records up to now, in the order of each partition."""
        yield from self.scan(Scan(self.range.total))

    def scan(self, scan: Scan, on_batch: Callable[[Scan], None] = lambda _: None) -> Iterator[LogRecord]:
        """Yield all selected records up to now. `scan` has the progress, and at the end whether all were read."""
        yield from Pass(self._consumer, self.range, self.matcher, scan).records(on_batch)

    def follow(self, stop: threading.Event, scan: Scan | None = None) -> Iterator[LogRecord]:
        """Yield selected records from now on, until `stop` is set or a limit of `scan` is reached."""
        yield from follow(self._consumer, self.range, self.matcher, stop, scan)


#: A reader that passes a million records in seconds: large fetches, and an error where retention overtakes it.
FAST = {
    "enable.partition.eof": True,
    "fetch.wait.max.ms": 50,
    "auto.offset.reset": "error",
    "fetch.message.max.bytes": 4 << 20,
}


def last(settings: Settings, topic: str, count: int) -> list[LogRecord]:
    """Return the newest `count` records of a topic, oldest first. Raises NotFound, Unreachable."""
    with TopicReader(settings, topic) as reader:
        return reader.last(count)
