"""What a commit says beside its offset: an OffsetTracker's snapshot as ASCII, at most 4 KiB. Pure.

    sluice/1 open kYJ3hXyNT1y0b6c3a1mN2w bCd+1b
             │    │                      └ lengths in turn, from the committed offset on: unfinished, done, unfinished, …
             │    └ Kafka's topic id: a topic made again under its name has another
             └ open while a worker owns the partition, closed once it has given it back

A length is a number in base 26, its last digit a small letter (`b` is 1, `Ba` is 26). Before an unfinished one may stand its
state: `+n` in flight, after n executions that ended with their worker; `-n` the same, but not in flight. It holds until another
stands there; the first is `+0`. What is not written so was written by somebody else, and says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from streams.worker.kafka_source.offsets import OffsetRun, Snapshot

#: The broker's default of `offset.metadata.max.bytes`. A commit with more is refused.
HARD_LIMIT = 4096
#: At this size no more is fetched: what is held may still break up into more runs as it finishes.
SOFT_LIMIT = 3072

_FORMAT = "sluice/1"
_WHOLE = re.compile(r"sluice/1 (open|closed) (\S+) ((?:(?:[+-][0-9]{1,4})?[A-Z]{0,11}[a-z])*)")
_ONE = re.compile(r"([+-][0-9]+)?([A-Z]*)([a-z])")
_MOST_UNCLEAN = 9999
#: The longest thing that can be written of one run: a state, and two lengths of up to 12 digits.
_LONGEST = 5 + 12 + 12


class CommitMetadata(NamedTuple):
    """What metadata says. `open`: nobody has given the partition back since: what is in flight in it met its worker's end."""

    snapshot: Snapshot
    open: bool

    def taken_over(self) -> Snapshot:
        """What the next owner begins with: nothing in flight. What was at an unclean stop has one execution more behind it."""
        runs = self.snapshot.runs
        return self.snapshot._replace(
            runs=tuple(OffsetRun(run.start, run.stop, run.crashes + (self.open and run.in_flight)) for run in runs)
        )


def encode(snapshot: Snapshot, topic_id: str, *, is_open: bool) -> str:
    """The metadata of a commit at `snapshot.position`; at most HARD_LIMIT bytes.

    What does not fit is told as one long unfinished run: that repeats work, and loses none.
    """
    head = f"{_FORMAT} {'open' if is_open else 'closed'} {topic_id} "
    return head + _body(snapshot, HARD_LIMIT - len(head))


def decode(position: int, metadata: str | None, topic_id: str) -> CommitMetadata | None:
    """What the metadata of a commit at `position` says; None for what is not ours, or of another topic of the same name."""
    found = _WHOLE.fullmatch(metadata or "")
    if found is None or found[2] != topic_id:
        return None
    at, runs, crashes, in_flight = position, [], 0, True
    for number, (state, upper, last) in enumerate(_ONE.findall(found[3])):
        length = _number(upper, last)
        if number % 2 == 0:
            if state:
                crashes, in_flight = int(state[1:]), state[0] == "+"
            if length:
                runs.append(OffsetRun(at, at + length, crashes, in_flight))
        at += length
    return CommitMetadata(Snapshot(position, at, tuple(runs)), found[1] == "open")


def _body(snapshot: Snapshot, room: int) -> str:
    whole = "".join(_pieces(snapshot.runs, snapshot.end))
    if len(whole) <= room:
        return whole
    kept = size = 0
    for piece in _pieces(snapshot.runs, snapshot.end):
        if size + len(piece) > room - _LONGEST:
            break
        size += len(piece)
        kept += 1
    return "".join(_pieces((*snapshot.runs[:kept], _as_one(snapshot.runs[kept:], snapshot.end)), snapshot.end))


def _as_one(runs: tuple[OffsetRun, ...], end: int) -> OffsetRun:
    """These and everything between them and after them; never a count that one of them has not earned."""
    return OffsetRun(runs[0].start, end, min(run.crashes for run in runs), all(run.in_flight for run in runs))


def _pieces(runs: tuple[OffsetRun, ...], end: int) -> Iterator[str]:
    """One for each run, with the done offsets that follow it."""
    crashes, in_flight = 0, True
    for number, run in enumerate(runs):
        state = ""
        if (run.crashes, run.in_flight) != (crashes, in_flight):
            crashes, in_flight = run.crashes, run.in_flight
            state = f"{'+' if in_flight else '-'}{min(crashes, _MOST_UNCLEAN)}"
        done = (runs[number + 1].start if number + 1 < len(runs) else end) - run.stop
        yield f"{state}{_digits(run.stop - run.start)}{_digits(done)}"


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
