"""Ids of events: places in the log, so that any gateway continues a stream where another one ended it.

A stream of one job reads a partition of `progress`: `RUN.PARTITION.OFFSET.SENT`, or `RUN.end` after the outcome. A stream of
all jobs reads every partition of several topics: `.progress:12.0.7;echo:5.3.0`, by topic the offset of each partition, and
`!.progress.2.1` if of the record at partition 2's offset one event was sent. `OFFSET` is the next record; `SENT` counts its
events that were sent already.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from schemas.errors import InvalidInput
from streams.client.event_record import Key

#: Characters of an id. Proxies accept header lines of 8 KiB.
LONGEST = 8_000
_JOB = re.compile(r"(\d{1,9})\.(?:(\d{1,6})\.(\d{1,18})\.(\d)|end)")
_TOPIC = re.compile(r"(\.?[a-z0-9-]{1,48}):(\d{1,18}(?:\.\d{1,18})*)")
_SENT = re.compile(r"(\.?[a-z0-9-]{1,48})\.(\d{1,6})\.(\d)")


class JobPlace(NamedTuple):
    """A place in the stream of one run. `partition` None: after the outcome."""

    run: int
    partition: int | None
    offset: int = 0
    sent: int = 0

    def __str__(self) -> str:
        return f"{self.run}.end" if self.partition is None else ".".join(map(str, self))

    @classmethod
    def parse(cls, text: str) -> JobPlace:
        """Raises InvalidInput."""
        found = _JOB.fullmatch(text[:LONGEST])
        if found is None:
            raise not_an_id()
        run, partition, offset, sent = found.groups()
        return cls(int(run), None) if partition is None else cls(int(run), int(partition), int(offset), int(sent))


class LogPlace:
    """The next offset of every partition, and how many events of that record were sent already."""

    __slots__ = ("_texts", "offsets", "sent")

    def __init__(self, offsets: Mapping[str, list[int]], sent: Mapping[Key, int] | None = None) -> None:
        self.offsets = {name: list(each) for name, each in offsets.items()}
        self.sent = dict(sent or {})
        self._texts: dict[str, str] = {}

    def next(self, key: Key) -> int:
        """Return the next offset of a partition; 0 for one that is younger than the id."""
        name, partition = key
        offsets = self.offsets.get(name, ())
        return offsets[partition] if partition < len(offsets) else 0

    def sent_of(self, key: Key, offset: int) -> int:
        """Return how many events of this record were sent already."""
        return self.sent.get(key, 0) if self.next(key) == offset else 0

    def move(self, key: Key, offset: int, sent: int = 0) -> None:
        """Continue at this record, after `sent` of its events."""
        name, partition = key
        offsets = self.offsets.setdefault(name, [])
        offsets.extend([0] * (partition + 1 - len(offsets)))
        offsets[partition] = offset
        if sent:
            self.sent[key] = sent
        else:
            self.sent.pop(key, None)
        self._texts.pop(name, None)

    def __str__(self) -> str:
        for name, offsets in self.offsets.items():
            if name not in self._texts:
                self._texts[name] = f"{name}:{'.'.join(map(str, offsets))}"
        text = ";".join(self._texts[name] for name in self.offsets)
        return text + "".join(f"!{name}.{partition}.{count}" for (name, partition), count in self.sent.items())

    @classmethod
    def parse(cls, text: str) -> LogPlace:
        """Raises InvalidInput."""
        head, *tails = text[:LONGEST].split("!")
        topics = [_TOPIC.fullmatch(part) for part in head.split(";")]
        sent = [_SENT.fullmatch(tail) for tail in tails]
        if not all(topics) or not all(sent):
            raise not_an_id()
        offsets = {each[1]: [int(offset) for offset in each[2].split(".")] for each in topics if each is not None}
        return cls(offsets, {(each[1], int(each[2])): int(each[3]) for each in sent if each is not None})


def not_an_id() -> InvalidInput:
    return InvalidInput(
        "Last-Event-ID is not the id of an event of this stream.",
        next_step="Send the last `id` as it came, or leave it out to begin now.",
    )
