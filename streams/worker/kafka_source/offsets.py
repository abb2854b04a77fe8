"""Which offset of a partition may be committed, when jobs finish in any order. Pure: no Kafka, no clock, no lock.

An offset is done once nobody needs to run it again. The position is the end of the done prefix; what is done beyond it (the
holes) travels in the commit's metadata (`offset_metadata.py`), with how often the unfinished ones were in flight when a worker
died. So whoever starts there repeats only what was unfinished, and knows a killer of hosts by its count. Offsets never
delivered below one that was (transaction markers, compacted records) count as done, since nobody will ever hand them out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple


class OffsetRun(NamedTuple):
    """Unfinished offsets in a row, `start` to `stop` (excluded). `crashes`: executions of each that ended with their worker.
    `in_flight`: another execution of each may have begun."""

    start: int
    stop: int
    crashes: int = 0
    in_flight: bool = False


class Snapshot(NamedTuple):
    """A partition's state: everything below `position` is done; of what lies below `end`, all but the runs (rising)."""

    position: int
    end: int
    runs: tuple[OffsetRun, ...] = ()


class OffsetTracker:
    """One partition, for as long as this consumer owns it. Offsets are delivered in rising order, and done in any.

    `before` is what the last owner left (`offset_metadata.Word.taken_over`).
    """

    __slots__ = ("_before", "_known", "_next", "_unfinished")

    def __init__(self, before: Snapshot | None = None) -> None:
        #: Delivered and not done, rising: the execution of each; negative while that has not begun.
        self._unfinished: dict[int, int] = {}
        self._before: deque[OffsetRun] = deque()  # unfinished when the last owner stopped, and not delivered again yet
        self._next = -1  # one past the last delivered
        self._known = -1  # one past the last that any owner was handed
        if before is not None:
            self._known = before.end
            self._before.extend(before.runs)

    def delivered(self, offset: int) -> int:
        """Note that `offset` was handed out; which execution of it is to be run, from 1.

        0 when none is: a record fetched twice is not to be run twice, and one that an earlier owner finished not again.
        """
        if offset < self._next:
            return 0
        self._next = offset + 1
        if offset < self._known:
            return self._again(offset)
        self._unfinished[offset] = 1
        return 1

    def done(self, offset: int) -> None:
        """Note that `offset` needs no more work. Offsets that were never delivered, or done before, change nothing."""
        self._unfinished.pop(offset, None)

    def withhold(self, offset: int) -> None:
        """Its execution has not begun: if this worker dies now, it is not to blame."""
        if (execution := self._unfinished.get(offset, 0)) > 0:
            self._unfinished[offset] = -execution

    def begin(self, offset: int) -> None:
        """What was withheld is about to be run."""
        if (execution := self._unfinished.get(offset, 0)) < 0:
            self._unfinished[offset] = -execution

    def executed(self, offset: int, execution: int) -> None:
        """An unfinished offset's execution is now this one: its process died, and this worker runs it again."""
        if offset in self._unfinished:
            self._unfinished[offset] = execution

    def position(self) -> int | None:
        """What to commit: the first offset that may still need work. None before anything is known."""
        for offset in self._unfinished:
            return offset
        before = self._left()
        return before[0].start if before else self.end

    @property
    def end(self) -> int | None:
        """One past the last delivered offset, to this owner or an earlier one: the position when all is done."""
        end = max(self._next, self._known)
        return None if end < 0 else end

    @property
    def outstanding(self) -> int:
        """How many delivered offsets are not done."""
        return len(self._unfinished)

    def snapshot(self) -> Snapshot | None:
        """For the metadata of a commit. None before anything is known."""
        position, end = self.position(), self.end
        if position is None or end is None:
            return None
        return Snapshot(position, end, (*self._delivered_runs(), *self._left()))

    def _again(self, offset: int) -> int:
        """Delivered to an earlier owner."""
        before = self._before
        while before and before[0].stop <= offset:
            before.popleft()
        if not before or offset < before[0].start:
            return 0
        run = before.popleft()
        if offset + 1 < run.stop:
            before.appendleft(run._replace(start=offset + 1))
        self._unfinished[offset] = execution = run.crashes + 1
        return execution

    def _left(self) -> deque[OffsetRun]:
        """The unfinished of earlier owners that are still to be delivered."""
        before = self._before
        while before and before[0].stop <= self._next:
            before.popleft()
        if before and before[0].start < self._next:
            before[0] = before[0]._replace(start=self._next)
        return before

    def _delivered_runs(self) -> Iterator[OffsetRun]:
        start, stop, now = -1, -1, 0
        for offset, execution in self._unfinished.items():
            if offset != stop or execution != now:
                if start >= 0:
                    yield _run(start, stop, now)
                start, now = offset, execution
            stop = offset + 1
        if start >= 0:
            yield _run(start, stop, now)


def _run(start: int, stop: int, execution: int) -> OffsetRun:
    return OffsetRun(start, stop, abs(execution) - 1, execution > 0)
