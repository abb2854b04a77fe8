"""The metadata of a commit: an OffsetTracker's snapshot as ASCII, at most 4 KiB. Pure.

    sluice/1 open kYJ3hXyNT1y0b6c3a1mN2w bCd+1b
             │    │                      └ lengths in turn, from the committed offset on: unfinished, done, unfinished, …
             │    └ Kafka's topic id: a topic made again under its name has another
             └ open while a worker owns the partition, closed once it has released it

A length is a number in base 26, its last digit a small letter (`b` is 1, `Ba` is 26). A state may stand before an unfinished
length: `+n` in flight, after n executions that ended with their worker; `-n` the same, but not in flight. A state holds until
the next one; the first is `+0`. Metadata of any other form was written by another program and is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from streams.worker.kafka_source.offsets import OffsetSpan, Snapshot

#: The broker's default of `offset.metadata.max.bytes`. A commit with more is refused.
HARD_LIMIT = 4096
#: At this size the partition is not fetched: jobs in flight may still break up into more spans as they finish.
SOFT_LIMIT = 3072

_FORMAT = "sluice/1"
_WHOLE = re.compile(r"sluice/1 (open|closed) (\S+) ((?:(?:[+-][0-9]{1,4})?[A-Z]{0,11}[a-z])*)")
_ONE = re.compile(r"([+-][0-9]+)?([A-Z]*)([a-z])")
_MOST_UNCLEAN = 9999
#: The longest thing that can be written of one span: a state, and two lengths of up to 12 digits.
_LONGEST = 5 + 12 + 12


class CommitMetadata(NamedTuple):
    """Decoded metadata. `open`: no worker has released the partition since, so offsets in flight ended with their worker."""

    snapshot: Snapshot
    open: bool

    def for_next_owner(self) -> Snapshot:
        """Return the state to start with: nothing in flight, and one more crash for what was in flight at an unclean stop."""
        spans = self.snapshot.spans
        return self.snapshot._replace(
            spans=tuple(
                OffsetSpan(span.start, span.stop, span.crashes + (self.open and span.in_flight)) for span in spans
            )
        )


def encode(snapshot: Snapshot, topic_id: str, *, is_open: bool) -> str:
    """Return the metadata of a commit at `snapshot.position`; at most HARD_LIMIT bytes.

    Spans that do not fit are written as one long unfinished span, which repeats work and loses none.
    """
    head = f"{_FORMAT} {'open' if is_open else 'closed'} {topic_id} "
    return head + _body(snapshot, HARD_LIMIT - len(head))


def decode(position: int, metadata: str | None, topic_id: str) -> CommitMetadata | None:
    """Decode the metadata of a commit at `position`. None if it is not ours, or of an earlier topic of the same name."""
    found = _WHOLE.fullmatch(metadata or "")
    if found is None or found[2] != topic_id:
        return None
    at, spans, crashes, in_flight = position, [], 0, True
    for number, (state, upper, last) in enumerate(_ONE.findall(found[3])):
        length = _number(upper, last)
        if number % 2 == 0:
            if state:
                crashes, in_flight = int(state[1:]), state[0] == "+"
            if length:
                spans.append(OffsetSpan(at, at + length, crashes, in_flight))
        at += length
    return CommitMetadata(Snapshot(position, at, tuple(spans)), found[1] == "open")


def topic_of(metadata: str | None) -> str:
    """Return the topic id in the metadata of a commit; "" if the metadata is not ours."""
    found = _WHOLE.fullmatch(metadata or "")
    return "" if found is None else found[2]


def _body(snapshot: Snapshot, room: int) -> str:
    whole = "".join(_pieces(snapshot.spans, snapshot.end))
    if len(whole) <= room:
        return whole
    kept = size = 0
    for piece in _pieces(snapshot.spans, snapshot.end):
        if size + len(piece) > room - _LONGEST:
            break
        size += len(piece)
        kept += 1
    return "".join(_pieces((*snapshot.spans[:kept], _as_one(snapshot.spans[kept:], snapshot.end)), snapshot.end))


def _as_one(spans: tuple[OffsetSpan, ...], end: int) -> OffsetSpan:
    """Join spans and everything between and after them, with the smallest number of crashes: none is blamed for another's."""
    return OffsetSpan(spans[0].start, end, min(span.crashes for span in spans), all(span.in_flight for span in spans))


def _pieces(spans: tuple[OffsetSpan, ...], end: int) -> Iterator[str]:
    """Yield a piece for each span, with the done offsets after it."""
    crashes, in_flight = 0, True
    for number, span in enumerate(spans):
        state = ""
        if (span.crashes, span.in_flight) != (crashes, in_flight):
            crashes, in_flight = span.crashes, span.in_flight
            state = f"{'+' if in_flight else '-'}{min(crashes, _MOST_UNCLEAN)}"
        done = (spans[number + 1].start if number + 1 < len(spans) else end) - span.stop
        yield f"{state}{_digits(span.stop - span.start)}{_digits(done)}"


def _digits(number: int) -> str:
    number, last = divmod(number, 26)
    written = chr(97 + last)
    while number:
        number, digit = divmod(number, 26)
        written = chr(65 + digit) + written
    return written


def _number(upper: str, last: str) -> int:
    number = 0
    for digit in upper:
        number = number * 26 + ord(digit) - 65
    return number * 26 + ord(last) - 97
