"""Which offset of a partition may be committed when jobs finish in any order. Pure: no Kafka, no clock, no lock.

An offset is done once it never needs to run again. The position is the end of the done prefix. Offsets done beyond it (with
holes between) are written to the commit's metadata (`offset_metadata.py`), with the number of crashes of each unfinished one.
So the next owner repeats only what was unfinished, and finds a job that kills its host by that number. Offsets that were never
handed out although a higher one was (transaction markers, compacted records) count as done, since Kafka will never hand them
out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple


class OffsetSpan(NamedTuple):
    """Unfinished offsets in a row, from `start` to `stop` (excluded). `crashes`: executions of each that ended with their
    worker. `in_flight`: another execution of each may have begun."""

    start: int
    stop: int
    crashes: int = 0
    in_flight: bool = False


class Snapshot(NamedTuple):
    """A partition's state: all offsets below `position` are done, and between it and `end` all but the spans (rising)."""

    position: int
    end: int
    spans: tuple[OffsetSpan, ...] = ()


class OffsetTracker:
    """Tracks one partition, from assignment to revocation. Offsets are handed out in rising order and done in any.

    `before` is the state that the last owner left (`CommitMetadata.for_next_owner`).
    """

    __slots__ = ("_before", "_known", "_next", "_not_begun", "_unfinished")

    def __init__(self, before: Snapshot | None = None) -> None:
        self._unfinished: dict[int, int] = {}  # handed out and not done, rising: the crashes of each
        self._not_begun: set[int] = set()  # those of them that this worker has not begun
        self._before: deque[OffsetSpan] = deque()  # unfinished when the last owner stopped, not handed out again yet
        self._next = -1  # one past the last handed out to this owner
        self._known = -1  # one past the last handed out to any owner
        if before is not None:
            self._known = before.end
            self._before.extend(before.spans)

    def handed_out(self, offset: int) -> int:
        """Record that Kafka handed out `offset`. Return the number of the execution to run, from 1.

        Return 0 if it must not run: a record fetched twice runs once, and one that an earlier owner finished not at all.
        """
        if offset < self._next:
            return 0
        self._next = offset + 1
        if offset < self._known:
            return self._again(offset)
        self._unfinished[offset] = 0
        return 1

    def done(self, offset: int) -> None:
        """Record that `offset` needs no more work. Offsets never handed out, or done already, change nothing."""
        self._unfinished.pop(offset, None)
        self._not_begun.discard(offset)

    def hold(self, offset: int) -> None:
        """Record that its execution has not begun: if this worker dies now, the job is not to blame."""
        if offset in self._unfinished:
            self._not_begun.add(offset)

    def begin(self, offset: int) -> None:
        """Record that a held offset is about to run."""
        self._not_begun.discard(offset)

    def set_crashes(self, offset: int, crashes: int) -> None:
        """Set the crashes of an unfinished offset that this worker runs again."""
        if offset in self._unfinished:
            self._unfinished[offset] = crashes
            self._not_begun.discard(offset)

    def skip_to(self, offset: int) -> None:
        """Record that the log no longer has the offsets below `offset` that were not handed out: they never will be."""
        self._next = max(self._next, offset)

    def position(self) -> int | None:
        """Return the offset to commit: the first that may still need work. None before anything is known."""
        for offset in self._unfinished:
            return offset
        before = self._left()
        return before[0].start if before else self.end

    @property
    def next_fetch(self) -> int | None:
        """Return the offset that Kafka hands out next. None before anything is known."""
        return self.position() if self._next < 0 else self._next

    @property
    def end(self) -> int | None:
        """Return one past the last offset handed out to this owner or an earlier one: the position when all is done."""
        end = max(self._next, self._known)
        return None if end < 0 else end

    @property
    def outstanding(self) -> int:
        """Number of offsets handed out and not done."""
        return len(self._unfinished)

    @property
    def not_begun(self) -> int:
        """Number of offsets handed out whose execution has not begun."""
        return len(self._not_begun)

    def snapshot(self) -> Snapshot | None:
        """Return the state for a commit's metadata. None before anything is known."""
        position, end = self.position(), self.end
        if position is None or end is None:
            return None
        return Snapshot(position, end, (*self._handed_out_spans(), *self._left()))

    def _again(self, offset: int) -> int:
        """Return the execution to run of an offset that an earlier owner was handed; 0 if that owner finished it."""
        before = self._before
        while before and before[0].stop <= offset:
            before.popleft()
        if not before or offset < before[0].start:
            return 0
        span = before.popleft()
        if offset + 1 < span.stop:
            before.appendleft(span._replace(start=offset + 1))
        self._unfinished[offset] = span.crashes
        return span.crashes + 1

    def _left(self) -> deque[OffsetSpan]:
        """Return the unfinished offsets of earlier owners that are still to be handed out."""
        before = self._before
        while before and before[0].stop <= self._next:
            before.popleft()
        if before and before[0].start < self._next:
            before[0] = before[0]._replace(start=self._next)
        return before

    def _handed_out_spans(self) -> Iterator[OffsetSpan]:
        start, stop, state = -1, -1, (0, True)
        for offset, crashes in self._unfinished.items():
            current = (crashes, offset not in self._not_begun)
            if offset != stop or current != state:
                if start >= 0:
                    yield OffsetSpan(start, stop, *state)
                start, state = offset, current
            stop = offset + 1
        if start >= 0:
            yield OffsetSpan(start, stop, *state)
