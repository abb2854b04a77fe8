"""Executors that do every step in the device's own thread: for light work, where threads would cost more than they save."""

from __future__ import annotations

import time
from queue import Empty

from streams.worker.child.channel import Inbox
from streams.worker.child.executor import BatchExecutor
from streams.worker.child.task import DeviceTask
from streams.worker.protocol import JobFrame


class InlineExecutor(BatchExecutor):
    """Puts jobs into batches before they are decoded: nothing but their number decides which run together."""

    def work(self, inbox: Inbox) -> None:
        self._inbox = inbox
        while self._handle_all():
            self._step()

    def _handle_all(self) -> bool:
        """Handle everything in the inbox; waits only while there is nothing to run. Returns False at the end."""
        try:
            event = self._inbox.get(block=not self._has_work())
            with self._lock:
                while event is not None:
                    self._handle(event)
                    event = self._inbox.get_nowait()
        except Empty:
            return True
        return False

    def _has_work(self) -> bool:
        return bool(self._isolated or len(self._waiting))

    def _step(self) -> None:
        with self._lock:
            batch = [self._isolated.popleft()] if self._isolated else self._waiting.take(self._ready.max_size())
        self._run_inline(batch)


class PreparedExecutor(InlineExecutor):
    """Prepares jobs before it puts them into batches: their version, cost or bucket decides which run together."""

    def _has_work(self) -> bool:
        return bool(len(self._ready)) or super()._has_work()

    def _step(self) -> None:
        with self._lock:
            isolated = self._isolated.popleft() if self._isolated else None
        if isolated is not None:
            self._run_inline([isolated])
            return
        while (frame := self._next_to_prepare()) is not None:
            task = self._open_and_prepare(frame)
            if task is not None:
                with self._lock:
                    self._unfinished += 1
                    self._add_prepared(task)
        with self._lock:
            batch = self._ready.take(time.monotonic(), idle=True)
        if batch:
            self._run_batch(batch)

    def _next_to_prepare(self) -> JobFrame | None:
        """Return the next job while a batch is not full; the device waits meanwhile."""
        with self._lock:
            if not len(self._waiting) or self._ready.full() or len(self._ready) >= self._max_ready:
                return None
            return self._waiting.pop()

    def _run_batch(self, tasks: list[DeviceTask]) -> None:
        in_time = self._not_expired(tasks)
        if in_time:
            self._restart_limits(in_time)
            self._finish_all(in_time, self._run(in_time))
        with self._lock:
            self._unfinished -= len(tasks)
