"""The executor of processors with CPU threads: while the device runs one batch, the next is prepared and the last is finished.

Four kinds of thread: the main one gives batches to the device and does nothing else; the feeder handles the inbox and keeps the
CPU threads busy; the CPU threads prepare and finish; one more fetches unseen schemas.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from queue import Empty
from typing import Any

from streams.worker.child.channel import Inbox, ParentChannel
from streams.worker.child.executor import BatchExecutor
from streams.worker.child.job_runner import JobRunner
from streams.worker.child.task import Task
from streams.worker.protocol import JobFrame


class PipelinedExecutor(BatchExecutor):
    def __init__(self, runner: JobRunner, channel: ParentChannel) -> None:
        super().__init__(runner, channel)
        self._pool = ThreadPoolExecutor(self._policy.threads, "prepare")
        self._wake = threading.Condition(self._lock)
        self._preparing = 0
        self._isolating = False  # an isolated job has the process for itself
        self._ended = False
        self._error: BaseException | None = None

    def work(self, inbox: Inbox) -> None:
        self._inbox = inbox
        threading.Thread(target=self._feed, name="feed", daemon=True).start()
        while (batch := self._next()) is not None:
            if self._isolating:
                self._run_inline([batch])
                self._end_isolation()
            else:
                self._run_prepared(batch)
        self._pool.shutdown()  # waits until everything that has run is finished and answered

    # ── the device's thread ──

    def _next(self) -> Any:
        """Wait for work: return a batch, a job that runs isolated, or None at the end."""
        with self._wake:
            self._wake.wait_for(self._has_work)
            if self._error is not None:
                raise self._error
            if self._ended:
                return None
            if self._may_isolate():
                self._isolating = True
                return self._isolated.popleft()
            return self._ready.take(time.monotonic(), idle=True)

    def _has_work(self) -> bool:
        return bool(self._ended or self._error or len(self._ready) or self._may_isolate())

    def _may_isolate(self) -> bool:
        return bool(self._isolated) and not self._unfinished

    def _end_isolation(self) -> None:
        with self._lock:
            self._isolating = False
            self._start_preparing()

    def _run_prepared(self, tasks: list[Task]) -> None:
        in_time = self._not_expired(tasks)
        if len(in_time) < len(tasks):
            self._inbox.put(len(tasks) - len(in_time))
        if not in_time:
            return
        self._restart_limits(in_time)
        outcomes = self._run(in_time)
        for task, outcome in zip(in_time, outcomes, strict=True):
            self._submit(self._pool, self._finish, task, outcome)

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

    def _add_prepared(self, task: Task) -> None:
        self._preparing -= 1
        super()._add_prepared(task)

    def _start_preparing(self) -> None:
        """Prepare no more jobs at a time than there are threads, so that tasks to finish never wait behind new jobs."""
        while self._may_prepare():
            self._unfinished += 1
            self._preparing += 1
            self._submit(self._pool, self._prepare, self._waiting.pop())

    def _may_prepare(self) -> bool:
        blocked = self._isolating or self._isolated or self._preparing >= self._policy.threads
        return bool(len(self._waiting)) and not blocked and self._unfinished < self._max_ready + self._policy.threads

    # ── the CPU threads ──

    def _prepare(self, frame: JobFrame) -> None:
        task = self._open_and_prepare(frame)
        if task is None:
            with self._lock:
                self._preparing -= 1
        self._inbox.put(1 if task is None else task)

    def _finish(self, task: Task, outcome: Any) -> None:
        self._send_finished([self._finish_task(task, outcome)])
        self._inbox.put(1)
