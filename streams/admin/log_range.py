"""The part of a topic that a scan reads: by time, or by offsets of one partition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from confluent_kafka import KafkaException, TopicPartition

from schemas.errors import NotFound, UsageError
from streams.log import kafka
from streams.log.not_ready import TIMEOUT_S
from streams.log.port import LogConsumer
from streams.log.watermarks import watermarks

#: Records of one partition may be out of order by their producers' clocks: a range by time reads so far beyond its end.
SKEW = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Span:
    """A selection. `first`, `last`: offsets, both included, of one partition."""

    since: datetime | None = None
    until: datetime | None = None
    partition: int | None = None
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True)
class LogRange:
    """Offsets from the first to before the second, by partition. `gone`: why records of the selection are not in the log."""

    topic: str
    parts: Mapping[int, tuple[int, int]]
    gone: str | None = None
    #: Where each partition ended when the range was made, read or not.
    ends: Mapping[int, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """The number of offsets; the records are fewer in a compacted topic."""
        return sum(end - begin for begin, end in self.parts.values())


def range_of(consumer: LogConsumer, topic: str, span: Span) -> LogRange:
    """Find the offsets of a selection. Raises NotFound, UsageError, Unreachable."""
    if (span.first is not None or span.last is not None) and span.partition is None:
        raise UsageError("Offsets belong to one partition.", next_step="Add `--partition N`.")
    found = watermarks(consumer, topic)
    if span.partition is not None:
        if span.partition not in found:
            raise NotFound(f"{topic} has no partition {span.partition}.", next_step=f"It has 0 to {max(found)}.")
        found = {span.partition: found[span.partition]}
    begins = {number: low for number, (low, _) in found.items()}
    ends = {number: high for number, (_, high) in found.items()}
    gone = None
    if span.since is not None:
        begins = _at_time(consumer, topic, span.since, ends)
        cut = [number for number, (low, high) in found.items() if 0 < low == begins[number] < high]
        gone = _gone_by_time(topic, cut, found) if cut else None
    if span.until is not None:
        after = _at_time(consumer, topic, span.until + SKEW, ends)
        ends = {number: min(end, after[number]) for number, end in ends.items()}
    if span.partition is not None:
        number, (low, _) = span.partition, found[span.partition]
        if span.first is not None:
            begins[number] = max(begins[number], span.first)
            if span.first < low and (span.last is None or span.last >= span.first):
                upto = low - 1 if span.last is None else min(low - 1, span.last)
                gone = f"retention: offsets {span.first} to {upto} of {topic}[{number}] have left the log"
        if span.last is not None:
            ends[number] = min(ends[number], span.last + 1)
    parts = {number: (begins[number], ends[number]) for number in found if begins[number] < ends[number]}
    return LogRange(topic, parts, gone, {number: high for number, (_, high) in found.items()})


def _gone_by_time(topic: str, cut: list[int], found: Mapping[int, tuple[int, int]]) -> str:
    where = ", ".join(f"{topic}[{number}] before offset {found[number][0]}" for number in cut[:3])
    more = f" and {len(cut) - 3} more" if len(cut) > 3 else ""
    return f"retention: records have left the log that may be of this time: {where}{more}"


def _at_time(consumer: LogConsumer, topic: str, at: datetime, ends: Mapping[int, int]) -> dict[int, int]:
    """Return each partition's first offset at or after a time; its end if all records are older."""
    millis = max(0, int(at.timestamp() * 1000))
    try:
        asked = [TopicPartition(topic, number, millis) for number in ends]
        found = consumer.offsets_for_times(asked, timeout=TIMEOUT_S)
    except KafkaException as error:
        raise kafka.translate(error, f"finding offsets of {topic} by time") from error
    return {each.partition: each.offset if each.offset >= 0 else ends[each.partition] for each in found}
