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


class OffsetRun(NamedTuple):
    """Unfinished offsets in a row, from `start` to `stop` (excluded). `crashes`: executions of each that ended with their
    worker. `in_flight`: another execution of each may have begun."""

    start: int
    stop: int
    crashes: int = 0
    in_flight: bool = False


class Snapshot(NamedTuple):
    """A partition's state: all offsets below `position` are done, and between it and `end` all but the runs (rising)."""

    position: int
    end: int
    runs: tuple[OffsetRun, ...] = ()


class OffsetTracker:
    """Tracks one partition, from assignment to revocation. Offsets are handed out in rising order and done in any.

    `before` is the state that the last owner left (`CommitMetadata.for_next_owner`).
    """

    __slots__ = ("_before", "_known", "_next", "_unfinished")

    def __init__(self, before: Snapshot | None = None) -> None:
        #: Handed out and not done, rising: the execution of each; negative while that has not begun.
        self._unfinished: dict[int, int] = {}
        self._before: deque[OffsetRun] = deque()  # unfinished when the last owner stopped, not handed out again yet
        self._next = -1  # one past the last handed out to this owner
        self._known = -1  # one past the last handed out to any owner
        if before is not None:
            self._known = before.end
            self._before.extend(before.runs)

    def handed_out(self, offset: int) -> int:
        """Record that Kafka handed out `offset`. Return the number of the execution to run, from 1.

        Return 0 if it must not run: a record fetched twice runs once, and one that an earlier owner finished not at all.
        """
        if offset < self._next:
            return 0
        self._next = offset + 1
        if offset < self._known:
            return self._again(offset)
        self._unfinished[offset] = 1
        return 1

    def done(self, offset: int) -> None:
        """Record that `offset` needs no more work. Offsets never handed out, or done already, change nothing."""
        self._unfinished.pop(offset, None)

    def hold(self, offset: int) -> None:
        """Record that its execution has not begun: if this worker dies now, the job is not to blame."""
        if (execution := self._unfinished.get(offset, 0)) > 0:
            self._unfinished[offset] = -execution

    def begin(self, offset: int) -> None:
        """Record that a held offset is about to run."""
        if (execution := self._unfinished.get(offset, 0)) < 0:
            self._unfinished[offset] = -execution

    def set_execution(self, offset: int, execution: int) -> None:
        """Set the execution of an unfinished offset that this worker runs again after a crash of its process."""
        if offset in self._unfinished:
            self._unfinished[offset] = execution

    def position(self) -> int | None:
        """Return the offset to commit: the first that may still need work. None before anything is known."""
        for offset in self._unfinished:
            return offset
        before = self._left()
        return before[0].start if before else self.end

    @property
    def end(self) -> int | None:
        """Return one past the last offset handed out to this owner or an earlier one: the position when all is done."""
        end = max(self._next, self._known)
        return None if end < 0 else end

    @property
    def outstanding(self) -> int:
        """Number of offsets handed out and not done."""
        return len(self._unfinished)

    def snapshot(self) -> Snapshot | None:
        """Return the state for a commit's metadata. None before anything is known."""
        position, end = self.position(), self.end
        if position is None or end is None:
            return None
        return Snapshot(position, end, (*self._handed_out_runs(), *self._left()))

    def _again(self, offset: int) -> int:
        """Return the execution to run of an offset that an earlier owner was handed; 0 if that owner finished it."""
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
        """Return the unfinished offsets of earlier owners that are still to be handed out."""
        before = self._before
        while before and before[0].stop <= self._next:
            before.popleft()
        if before and before[0].start < self._next:
            before[0] = before[0]._replace(start=self._next)
        return before

    def _handed_out_runs(self) -> Iterator[OffsetRun]:
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
