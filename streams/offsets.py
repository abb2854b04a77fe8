"""Which offset of a partition may be committed, when jobs finish in any order. Pure: no Kafka, no clock, no lock.

An offset is done once nobody needs to run it again. The position is the end of the done prefix: everything below it is done,
so a worker that starts there repeats only what was unfinished. Offsets that were never delivered below one that was
(transaction markers, compacted records) count as done, since nobody will ever hand them out.
"""

from __future__ import annotations

from collections import deque


class OffsetTracker:
    """One partition, for as long as this consumer owns it. Offsets are delivered in rising order, and done in any."""

    __slots__ = ("_done", "_end", "_pending")

    def __init__(self) -> None:
        self._pending: deque[int] = deque()  # delivered, rising; the head is the first that is not done
        self._done: set[int] = set()  # done, but something before them is not
        self._end: int | None = None  # one past the last delivered

    def delivered(self, offset: int) -> bool:
        """Note that `offset` was handed out. False when it was before: a record fetched twice is not to be run twice."""
        if self._end is not None and offset < self._end:
            return False
        self._pending.append(offset)
        self._end = offset + 1
        return True

    def done(self, offset: int) -> None:
        """Note that `offset` needs no more work. Offsets that were never delivered, or done before, change nothing."""
        pending = self._pending
        if not pending or offset < pending[0]:
            return
        if offset != pending[0]:
            self._done.add(offset)
            return
        pending.popleft()
        while pending and pending[0] in self._done:
            self._done.remove(pending.popleft())

    def position(self) -> int | None:
        """What to commit: the first offset that may still need work. None before the first delivery."""
        return self._pending[0] if self._pending else self._end

    @property
    def end(self) -> int | None:
        """One past the last delivered offset: where the position gets to when all is done."""
        return self._end

    @property
    def outstanding(self) -> int:
        """How many delivered offsets are not done."""
        return len(self._pending) - len(self._done)
