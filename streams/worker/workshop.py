"""The steps of a job inside the child: read, prepare, run, finish. Each step's failure is that job's alone.

Nothing here knows of pipes or threads; `child.py` decides who calls what when.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from connectors.objects import ClaimStore
from processors import devices
from processors.protocol import AnyProcessor, Job
from schemas.errors import JobCancelled, JobError
from schemas.records import JobHeader
from streams import logs
from streams.worker.bisect import as_out_of_memory, is_out_of_memory, run_all
from streams.worker.context import Tell, WorkerJobContext
from streams.worker.frames import Answer, JobFrame
from streams.worker.intake import Intake, Opened, Task, soft_deadline
from streams.worker.results import ResultWriter, now_us
from streams.worker.stops import Stops

log = logs.get("worker")


class Workshop:
    """One processor, loaded, with everything its jobs need."""

    def __init__(
        self,
        processor: AnyProcessor,
        intake: Intake,
        writer: ResultWriter,
        store: ClaimStore,
        scratch: Path,
        tell: Tell,
        on_out_of_memory: Callable[[Sequence[Task]], None],
    ) -> None:
        self._processor = processor
        self._intake = intake
        self._writer = writer
        self._store = store
        self._scratch = scratch
        self._tell = tell
        self._on_out_of_memory = on_out_of_memory
        #: Jobs that are to stop, where they have begun.
        self.stops = Stops()

    def can_read(self, frame: JobFrame) -> bool:
        return self._intake.can_read(frame)

    def open(self, frame: JobFrame) -> Task | Answer:
        """A task that may run, or the answer of one that may not. Raises Unreachable: try again later."""
        opened = self._intake.read(frame)
        return opened if isinstance(opened, Answer) else self._task(frame, opened)

    def prepare(self, task: Task) -> Answer | None:
        """The CPU work before the device; an answer when it failed."""
        began = time.perf_counter()
        task.clock.started_us = now_us()
        try:
            self._stop_if_asked(task)
            task.item = self._processor.prepare(task.job, task.context)
        except Exception as error:  # noqa: BLE001 - a processor may raise anything; it is this job's outcome
            return self._failed(task, error)
        task.clock.prepare_ms = _ms_since(began)
        return None

    def run(self, tasks: Sequence[Task]) -> list[Any]:
        """The device's outcomes, one a task: a raw output or an exception."""
        began = time.perf_counter()

        def did_not_fit(start: int, stop: int) -> None:
            devices.release_memory()
            self._on_out_of_memory(tasks[start:stop])

        outcomes = run_all(self._processor.run, [task.item for task in tasks], did_not_fit)
        took, size = _ms_since(began), len(tasks)
        for task in tasks:
            task.clock.run_ms, task.clock.batch_size = took, size
            task.item = None
        return outcomes

    def finish(self, task: Task, outcome: Any) -> Answer:
        """The CPU work after the device, and the answer."""
        if isinstance(outcome, Exception):
            return self._failed(task, outcome)
        began = time.perf_counter()
        try:
            self._stop_if_asked(task)
            output = self._processor.finish(task.job, outcome, task.context)
        except Exception as error:  # noqa: BLE001 - see prepare
            return self._failed(task, error)
        task.clock.finish_ms = _ms_since(began)
        answer = self._writer.succeeded(
            task.frame, task.job.header, task.header, output, task.clock, task.context.saved
        )
        task.context.close()
        return answer

    def hard_limit(self, header: JobHeader) -> int | None:
        policy_ms = self._processor.policy.limits.hard_ms
        return header.hard_limit_ms if header.hard_limit_ms is not None else policy_ms

    def _task(self, frame: JobFrame, opened: Opened) -> Task:
        request = opened.request
        context = WorkerJobContext(
            self._store,
            self._scratch,
            self._tell,
            soft_deadline(request.header, self._processor.policy.limits.soft_ms),
            slot=frame.slot,
            stops=self.stops,
            deadline=request.header.deadline,
        )
        return Task(frame, Job(request.header, request.input), context, header=opened.header)

    def cancelled(self, task: Task) -> Answer:
        """The answer of a job that waited, prepared, when somebody cancelled it."""
        return self._failed(task, JobCancelled("The job was cancelled before it reached the device."))

    def _stop_if_asked(self, task: Task) -> None:
        """Between two steps of a job: nothing is begun that nobody wants any more."""
        if self.stops and self.stops.asked(task.frame.slot):
            raise JobCancelled("The job was cancelled.")

    def _failed(self, task: Task, error: Exception) -> Answer:
        if isinstance(error, JobCancelled):  # the processor saw that it is to stop; we know why
            error = task.context.told_to_stop() or error
            self.stops.heeded(task.frame.slot)
        task.context.close()
        if is_out_of_memory(error):
            error = as_out_of_memory(error)
        if not isinstance(error, JobError):
            _log_bug(task, error)
        return self._writer.failed(task.frame, task.job.header, error, task.clock)


def _log_bug(task: Task, error: Exception) -> None:
    """Where a surprise came from, without the message and without locals: both may quote the input."""
    header, frames = task.job.header, []
    trace = error.__traceback__
    while trace is not None:
        frames.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno} {trace.tb_frame.f_code.co_name}")
        trace = trace.tb_next
    log.error("processor_bug", job_id=header.job_id, run=header.run, type=type(error).__name__, trace=frames)


def _ms_since(began: float) -> float:
    return (time.perf_counter() - began) * 1000
