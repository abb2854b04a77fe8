"""Prepares and finishes beside the device: while it runs one batch, the next is prepared and the last one is finished.

The main thread gives batches to the device and does nothing else. The feeder thread handles the inbox and keeps those busy who
prepare: CPU threads (`threaded.py`) or helper processes (`helped.py`). One more thread fetches unseen schemas.
"""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Sequence
from queue import Empty
from typing import Any, NamedTuple

from streams.worker.child.channel import Inbox, ParentChannel
from streams.worker.child.executor import BatchExecutor
from streams.worker.child.job_runner import JobRunner
from streams.worker.child.task import DeviceTask
from streams.worker.protocol import JobFrame

#: The share of the newest job in the mean time that `prepare` takes.
NEWEST = 0.1


class Unprepared(NamedTuple):
    """An event of the inbox: so many jobs were answered before they reached the device, or wait for their schema."""

    jobs: int


class PipelinedExecutor(BatchExecutor):
    """`workers`: how many jobs can be prepared or finished at a time."""

    def __init__(self, runner: JobRunner, channel: ParentChannel, workers: int) -> None:
        super().__init__(runner, channel)
        self._workers = workers
        # Prepared jobs and raw outputs cost memory: the batch that runs, the next one and the one that is finished.
        self._max_unfinished = 2 * runner.models.largest_batch + max(runner.models.largest_batch - 1, workers)
        self._wake = threading.Condition(self._lock)
        self._preparing = 0
        self._prepare_s = 0.0  # mean time of one job
        self._isolating = False  # an isolated job has the process for itself
        self._ended = False
        self._error: BaseException | None = None

    @abstractmethod
    def _prepare_next(self) -> bool:
        """Begin to prepare the next waiting jobs. Returns False if no worker has room. With the lock."""

    @abstractmethod
    def _begin_finish(self, tasks: Sequence[DeviceTask], outcomes: Sequence[Any]) -> None:
        """Pass on tasks that have run to be finished and answered. On the device's thread."""

    @abstractmethod
    def _close(self) -> None:
        """Wait until all that has run is finished and answered."""

    def work(self, inbox: Inbox) -> None:
        self._inbox = inbox
        threading.Thread(target=self._feed, name="feed", daemon=True).start()
        while (batch := self._next()) is not None:
            if self._isolating:
                self._run_inline([batch])
                self._end_isolation()
            else:
                self._run_prepared(batch)
        self._close()

    # ── the device's thread ──

    def _next(self) -> Any:
        """Wait for work: return a batch, a job that runs isolated, or None at the end."""
        with self._wake:
            while True:
                if self._error is not None:
                    raise self._error
                if self._ended:
                    return None
                if self._may_isolate():
                    self._isolating = True
                    return self._isolated.popleft()
                now, due = time.monotonic(), self._ready.due_at()
                if due is not None and (batch := self._ready.take(now, idle=not self._more_by(now, due))):
                    return batch
                self._wake.wait(None if due is None else due - now)

    def _more_by(self, now: float, due: float) -> bool:
        """True if a job that is being prepared will be ready by `due`, so that the device had better wait for it."""
        return bool(self._preparing) and now + self._prepare_s <= due

    def _may_isolate(self) -> bool:
        return bool(self._isolated) and not self._unfinished

    def _end_isolation(self) -> None:
        with self._lock:
            self._isolating = False
            self._start_preparing()

    def _run_prepared(self, tasks: list[DeviceTask]) -> None:
        in_time = self._not_expired(tasks)
        if len(in_time) < len(tasks):
            self._inbox.put(len(tasks) - len(in_time))
        if in_time:
            self._restart_limits(in_time)
            self._begin_finish(in_time, self._run(in_time))

    # ── the feeder ──

    def _feed(self) -> None:
        try:
            while (event := self._inbox.get()) is not None:
                with self._wake:
                    self._handle(event)
                    more = self._handle_rest()
                    self._start_preparing()
                    self._wake.notify()
                if not more:
                    break
        except BaseException as error:  # noqa: BLE001 - raised again by `work`, on the device's thread
            self._error = error
        with self._wake:
            self._ended = True
            self._wake.notify()

    def _handle_rest(self) -> bool:
        """Handle what else is in the inbox. Returns False at the end."""
        try:
            while (event := self._inbox.get_nowait()) is not None:
                self._handle(event)
        except Empty:
            return True
        return False

    def _handle(self, event: Any) -> None:
        if isinstance(event, Unprepared):
            self._preparing -= event.jobs
            self._unfinished -= event.jobs
        else:
            super()._handle(event)

    def _add_prepared(self, task: DeviceTask) -> None:
        self._preparing -= 1
        self._prepare_s += NEWEST * (task.prepare_ms / 1000 - self._prepare_s)
        super()._add_prepared(task)

    def _start_preparing(self) -> None:
        while len(self._waiting) and self._free() > 0:
            if not self._prepare_next():
                break

    def _free(self) -> int:
        """Return how many more jobs may be in the steps. None while a job waits to be alone in the process, or is."""
        return 0 if self._isolating or self._isolated else self._max_unfinished - self._unfinished

    def _take_waiting(self, count: int) -> list[JobFrame]:
        """Remove up to `count` waiting jobs; they count as being prepared."""
        frames = self._waiting.take(min(count, self._free()))
        self._unfinished += len(frames)
        self._preparing += len(frames)
        return frames
