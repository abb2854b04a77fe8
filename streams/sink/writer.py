"""Stores a batch. If one job's rows can't be stored, bisects the batch to find it and dead-letters its results."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from connectors.dead_letter_store import DeadLetterRow
from connectors.sink_store import OffsetRow, SinkStore, Stored, Unstorable
from schemas.errors import SluiceError
from streams import logs
from streams.log.reconnect import until_reachable
from streams.notify.service import ProgressRule
from streams.sink.dead_letters import DeadLetters
from streams.sink.event import Event
from streams.sink.fold import JobFold, fold
from streams.sink.patience import Patience
from streams.sink.rows import bare, history_rows, lease_rows, progress_end, run_rows
from streams.sink.topic_table import TopicTable
from streams.sink.validate import POISON

log = logs.get("sink")
T = TypeVar("T")

#: Seconds between two tries while the store is unreachable; the last one repeats.
PAUSES = (0.05, 0.2, 0.5, 1.0)
#: Kinds of events whose dead letters are read back and fail their job.
_RESULTS = ("result", "retry")


class BatchWriter:
    """Raises Fenced as the store does, Unreachable when the step's patience ends, and Stopped if the service is stopped while
    the store is unreachable."""

    def __init__(
        self,
        store: SinkStore,
        dead_letters: DeadLetters,
        stop: threading.Event,
        patience: Patience,
        progress_rule: ProgressRule | None = None,
    ) -> None:
        self._store = store
        self._progress_rule = progress_rule
        self._dead_letters = dead_letters
        self._stop = stop
        self._patience = patience
        self.table = TopicTable({})
        #: Rows to store with the next part of a batch: before any offset that passes their records.
        self.letters: list[DeadLetterRow] = []

    def fold(self, events: Sequence[Event]) -> tuple[list[JobFold], list[Event]]:
        """Do as `fold`, but dead-letter an event that can't be folded, whatever Python calls its fault."""
        try:
            return fold(events)
        except Exception:  # noqa: BLE001 - the event that raised it is found
            return fold([event for event in events if self._can_be_folded(event)])

    def write(self, folds: Sequence[JobFold], offsets: Sequence[OffsetRow], notifier: bytes | None) -> Stored:
        """Store all folds. The offsets are stored with the last part, so that they never pass a record that is not stored."""
        try:
            return self._try(folds, offsets, notifier)
        except POISON as error:
            if not folds:
                raise
            if len(folds) > 1:
                return self._halves(folds, offsets, notifier)
            return self._one_again(folds[0], offsets, notifier, error)

    def end_progress(self, runs: Iterable[tuple[bytes, int]], notifier: bytes | None) -> set[bytes]:
        """End the progress callbacks of ended runs; return the ids of deliveries that this notifier may send at once."""
        ends = [progress_end(job_id, run, notifier) for job_id, run in runs]
        return self._until_reachable(lambda: self._store.end_progress(ends)) if ends else set()

    def _one_again(
        self, one: JobFold, offsets: Sequence[OffsetRow], notifier: bytes | None, error: BaseException
    ) -> Stored:
        """Set one job's events aside. If the store did not refuse the rows by name, it is asked once more before that."""
        if not isinstance(error, Unstorable):
            try:
                return self._try([one], offsets, notifier)
            except POISON as again:
                error = again
        return self._set_aside(one, offsets, notifier, _as_unstorable(error))

    def _can_be_folded(self, event: Event) -> bool:
        try:
            fold([event])
        except Exception as error:  # noqa: BLE001
            self._dead_letter([event], _as_unstorable(error))
            return False
        return True

    def _halves(self, folds: Sequence[JobFold], offsets: Sequence[OffsetRow], notifier: bytes | None) -> Stored:
        middle = len(folds) // 2
        # The offsets stay unchanged with the first half; the store compares their epochs all the same.
        unchanged = [row.standing_still() for row in offsets]
        first = self.write(folds[:middle], unchanged, notifier)
        second = self.write(folds[middle:], offsets, notifier)
        ended = first.ended_after_progress | second.ended_after_progress
        return Stored(first.losers | second.losers, second.decided_at, ended)

    def _set_aside(
        self, bad: JobFold, offsets: Sequence[OffsetRow], notifier: bytes | None, error: SluiceError
    ) -> Stored:
        """Dead-letter the job's results and store its other events. The job fails when the sink reads its dead letters.

        If the other events can't be stored either, store only the fields that a job needs, so that no job is lost."""
        events = [entry.event for entry in bad.history]
        self._dead_letter([event for event in events if event.kind in _RESULTS], error)
        rest = [event for event in events if event.kind not in _RESULTS]
        for kept in (rest, [bare(event) for event in rest]):
            try:
                stored = self._try(fold(kept)[0], offsets, notifier)
            except POISON:
                continue
            return Stored(stored.losers | _ended_by_result(bad), stored.decided_at, stored.ended_after_progress)
        log.error("job_not_stored", job_id=bad.first.header["job_id"])
        self._dead_letter(rest, error)
        stored = self._try([], offsets, notifier)
        return Stored(frozenset((bad.first.job_id, run) for run in bad.runs), stored.decided_at)

    def _dead_letter(self, events: Sequence[Event], error: SluiceError) -> None:
        for event in events:
            self._dead_letters.put(event.message, error)
        self._dead_letters.settle()

    def _try(self, folds: Sequence[JobFold], offsets: Sequence[OffsetRow], notifier: bytes | None) -> Stored:
        try:
            runs, history = run_rows(folds, notifier, self._progress_rule), history_rows(folds)
            leases = lease_rows(folds, self.table) if self.table.may_lease else ()
        except Exception as error:  # pure functions of the events: one of these is at fault
            raise _as_unstorable(error) from error
        letters = tuple(self.letters)
        stored = self._until_reachable(lambda: self._store.store(runs, history, offsets, leases, letters))
        self.letters.clear()
        return stored

    def _until_reachable(self, call: Callable[[], T]) -> T:
        return until_reachable(call, self._stop, log, "store_unavailable", pauses=PAUSES, limit_s=self._patience.left_s)


def _ended_by_result(bad: JobFold) -> frozenset[tuple[bytes, int]]:
    """Return the runs whose candidate was just dead-lettered: it did not win."""
    candidates = [(number, run.candidate) for number, run in bad.runs.items()]
    return frozenset((bad.first.job_id, number) for number, event in candidates if event and event.kind in _RESULTS)


def _as_unstorable(error: BaseException) -> Unstorable:
    # Only the type: the text of a Python error may quote the value.
    if isinstance(error, Unstorable):
        return error
    return Unstorable(f"The record can't be stored as a row: {type(error).__name__}.")
