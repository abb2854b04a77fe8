"""Benches that do every step of a job in the device's own thread: for light work, where handing over would cost more."""

from __future__ import annotations

import time
from queue import Empty

from streams.worker.child.decode import Task
from streams.worker.child.executor import BatchExecutor, Inbox
from streams.worker.protocol import JobFrame


class InlineExecutor(BatchExecutor):
    """Batches of frames, unopened: nothing but their number decides which run together."""

    def work(self, inbox: Inbox) -> None:
        self._inbox = inbox
        while self._absorb():
            self._step()

    def _queue(self, frame: JobFrame) -> None:
        self._ready.add(frame, time.monotonic(), frame.lane)

    def _absorb(self) -> bool:
        """Take in what has happened; waits only while there is nothing to do. False at the end."""
        try:
            event = self._inbox.get(block=not self._could_work())
            with self._lock:
                while event is not None:
                    self._take_in(event)
                    event = self._inbox.get_nowait()
        except Empty:
            return True
        return False

    def _could_work(self) -> bool:
        return bool(self._alone or len(self._ready) or len(self._waiting))

    def _step(self) -> None:
        with self._lock:
            batch = [self._alone.popleft()] if self._alone else self._ready.take(time.monotonic(), idle=True)
        self._run_inline(batch)


class PreparedExecutor(InlineExecutor):
    """Jobs are prepared first: their version, cost or shape decides which run together."""

    def _queue(self, frame: JobFrame) -> None:
        self._waiting.add(frame, frame.lane)

    def _step(self) -> None:
        with self._lock:
            alone = self._alone.popleft() if self._alone else None
        if alone is not None:
            self._run_inline([alone])
            return
        while (frame := self._next_to_prepare()) is not None:
            task = self._prepared(frame)
            if task is not None:
                self._keep(task)
        with self._lock:
            batch: list[Task] = self._ready.take(time.monotonic(), idle=True)
        if batch:
            self._run_batch(batch)

    def _next_to_prepare(self) -> JobFrame | None:
        """The device waits for us meanwhile: no more than it takes to fill a batch."""
        with self._lock:
            if not len(self._waiting) or self._ready.full() or len(self._ready) >= self._room:
                return None
            return self._waiting.pop()

    def _keep(self, task: Task) -> None:
        with self._lock:
            self._busy += 1
            self._add_prepared(task)

    def _run_batch(self, tasks: list[Task]) -> None:
        in_time = self._in_time(tasks)
        if in_time:
            self._limit_anew(in_time)
            self._finish_all(in_time, self._run(in_time))
        with self._lock:
            self._busy -= len(tasks)
