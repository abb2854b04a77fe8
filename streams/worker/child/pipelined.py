"""The bench of processors with CPU threads: while the device works on one batch, the next is prepared and the last is finished.

Four kinds of thread: the main one gives batches to the device and does nothing else; the feeder takes in what happens and
keeps the CPU threads busy; those prepare and finish; one more reads jobs of unseen schemas.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from queue import Empty
from typing import Any

from streams.worker.child.decode import Task
from streams.worker.child.executor import BatchExecutor, Inbox, ParentChannel
from streams.worker.child.job_runner import JobRunner
from streams.worker.protocol import JobFrame


class PipelinedExecutor(BatchExecutor):
    def __init__(self, shop: JobRunner, outbox: ParentChannel) -> None:
        super().__init__(shop, outbox)
        self._pool = ThreadPoolExecutor(self._policy.threads, "prepare")
        self._wake = threading.Condition(self._lock)
        self._preparing = 0
        self._by_itself = False  # a job that must be alone in the process has it
        self._over = False
        self._fault: BaseException | None = None

    def work(self, inbox: Inbox) -> None:
        self._inbox = inbox
        threading.Thread(target=self._feed, name="feed", daemon=True).start()
        while (batch := self._next()) is not None:
            if self._by_itself:
                self._run_inline([batch])
                self._let_others_in()
            else:
                self._run_prepared(batch)
        self._pool.shutdown()  # what the device has done is finished, and said

    # ── the device's thread ──

    def _next(self) -> Any:
        """A batch, a job to be run alone, or None at the end; waits for nothing else than that there is one."""
        with self._wake:
            self._wake.wait_for(self._has_work)
            if self._fault is not None:
                raise self._fault
            if self._over:
                return None
            if self._may_be_alone():
                self._by_itself = True
                return self._alone.popleft()
            return self._ready.take(time.monotonic(), idle=True)

    def _has_work(self) -> bool:
        return bool(self._over or self._fault or len(self._ready) or self._may_be_alone())

    def _may_be_alone(self) -> bool:
        return bool(self._alone) and not self._busy

    def _let_others_in(self) -> None:
        with self._lock:
            self._by_itself = False
            self._start_preparing()

    def _run_prepared(self, tasks: list[Task]) -> None:
        in_time = self._in_time(tasks)
        if len(in_time) < len(tasks):
            self._inbox.put(len(tasks) - len(in_time))
        if not in_time:
            return
        self._limit_anew(in_time)
        outcomes = self._run(in_time)
        for task, outcome in zip(in_time, outcomes, strict=True):
            self._submit(self._pool, self._finish, task, outcome)

    # ── the feeder ──

    def _feed(self) -> None:
        try:
            while (event := self._inbox.get()) is not None:
                with self._wake:
                    self._take_in(event)
                    more = self._take_in_all()
                    self._start_preparing()
                    self._wake.notify()
                if not more:
                    break
        except BaseException as error:  # noqa: BLE001 - raised again by `work`, on the device's thread
            self._fault = error
        with self._wake:
            self._over = True
            self._wake.notify()

    def _take_in_all(self) -> bool:
        """Whatever else is there; False at the end."""
        try:
            while (event := self._inbox.get_nowait()) is not None:
                self._take_in(event)
        except Empty:
            return True
        return False

    def _add_prepared(self, task: Task) -> None:
        self._preparing -= 1
        super()._add_prepared(task)

    def _start_preparing(self) -> None:
        """No more at a time than there are threads, so that what is to be finished never waits behind what is not begun."""
        while self._may_start():
            self._busy += 1
            self._preparing += 1
            self._submit(self._pool, self._prepare, self._waiting.pop())

    def _may_start(self) -> bool:
        blocked = self._by_itself or self._alone or self._preparing >= self._policy.threads
        return bool(len(self._waiting)) and not blocked and self._busy < self._room + self._policy.threads

    # ── the CPU threads ──

    def _prepare(self, frame: JobFrame) -> None:
        task = self._prepared(frame)
        if task is None:
            with self._lock:
                self._preparing -= 1
        self._inbox.put(1 if task is None else task)

    def _finish(self, task: Task, outcome: Any) -> None:
        self._outbox.answers([self._shop.finish(task, outcome)])
        self._inbox.put(1)
