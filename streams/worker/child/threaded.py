"""Prepares and finishes in CPU threads of the device's process: for work that leaves the interpreter to others."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from streams.worker.child.channel import ParentChannel
from streams.worker.child.job_runner import JobRunner
from streams.worker.child.pipelined import PipelinedExecutor, Unprepared
from streams.worker.child.task import DeviceTask
from streams.worker.protocol import JobFrame


class ThreadedExecutor(PipelinedExecutor):
    def __init__(self, runner: JobRunner, channel: ParentChannel, threads: int) -> None:
        super().__init__(runner, channel, threads)
        self._pool = ThreadPoolExecutor(threads, "prepare")

    def _prepare_next(self) -> bool:
        """Prepare no more jobs at a time than there are threads, so that tasks to finish never wait behind new jobs."""
        if self._preparing >= self._workers:
            return False
        for frame in self._take_waiting(1):
            self._submit(self._pool, self._prepare, frame)
        return True

    def _begin_finish(self, tasks: Sequence[DeviceTask], outcomes: Sequence[Any]) -> None:
        for task, outcome in zip(tasks, outcomes, strict=True):
            self._submit(self._pool, self._finish, task, outcome)

    def _close(self) -> None:
        self._pool.shutdown()

    # ── the CPU threads ──

    def _prepare(self, frame: JobFrame) -> None:
        task = self._open_and_prepare(frame)
        self._inbox.put(Unprepared(1) if task is None else task)

    def _finish(self, task: DeviceTask, outcome: Any) -> None:
        self._send_finished([self._finish_task(task, outcome)])
        self._inbox.put(1)
