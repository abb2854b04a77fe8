"""The steps of a job inside the child: read, prepare, run, finish. Each step's failure is that job's alone.

Nothing here knows of pipes or threads; `child.py` decides who calls what when.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.objects import ClaimStore
from processors import devices
from processors.protocol import Job
from schemas.errors import DeadlineExceeded, JobCancelled, JobError, ModelNotFound
from schemas.states import Disposition
from streams import logs
from streams.worker.child.bisect import as_out_of_memory, is_out_of_memory, run_all
from streams.worker.child.cancelled_slots import CancelledSlots
from streams.worker.child.context import Tell, WorkerJobContext
from streams.worker.child.decode import DecodedRequest, RequestDecoder, Task, soft_deadline
from streams.worker.child.results import JobTimings, now_us
from streams.worker.child.versions import ModelVersions
from streams.worker.protocol import Answer, JobFrame

log = logs.get("worker")

#: Hears of the jobs of a batch.
Hear = Callable[[Sequence[Task]], None]


class JobRunner:
    """One processor, loaded in each of its versions, with everything its jobs need."""

    def __init__(
        self, models: ModelVersions, intake: RequestDecoder, store: ClaimStore, scratch: Path, tell: Tell
    ) -> None:
        self.models = models
        self._intake = intake
        self._store = store
        self._scratch = scratch
        self._tell = tell
        #: Jobs that are to stop, where they have begun.
        self.stops = CancelledSlots()

    def can_read(self, frame: JobFrame) -> bool:
        return self._intake.can_read(frame)

    def open(self, frame: JobFrame) -> Task | Answer:
        """A task that may run, or the answer of one that may not. Raises Unreachable: try again later."""
        opened = self._intake.read(frame)
        if isinstance(opened, Answer):
            return opened
        try:
            return self._task(frame, opened)
        except ModelNotFound as error:
            return self.models.default.writer.failed(frame, opened.request.header, error, JobTimings())

    def prepare(self, task: Task) -> Answer | None:
        """The CPU work before the device; an answer when it failed."""
        began = time.perf_counter()
        task.clock.started_us = now_us()
        try:
            self._stop_if_asked(task)
            task.item = task.model.processor.prepare(task.job, task.context)
            if self.models.sort:
                task.bucket, task.cost = task.model.place(task.item)
        except Exception as error:  # noqa: BLE001 - a processor may raise anything; it is this job's outcome
            return self._failed(task, error)
        task.clock.prepare_ms = _ms_since(began)
        return None

    def overtaken(self, tasks: Sequence[Task]) -> dict[int, Answer]:
        """By slot, the answers of jobs whose deadline passed while they waited, prepared: they are not begun on the device."""
        return {task.frame.slot: self._failed(task, error) for task in tasks if (error := _overtaken(task)) is not None}

    def run(self, tasks: Sequence[Task], did_not_fit: Hear, again: Hear) -> list[Any]:
        """The device's outcomes, one a task: a raw output or an exception. All tasks are of one version.

        `did_not_fit` hears of tasks for which, together, there was no memory; `again` before each further run.
        """
        began = time.perf_counter()
        processor, runs = tasks[0].model.processor, 0

        def run(items: Sequence[Any]) -> Sequence[Any]:
            nonlocal runs
            runs += 1
            if runs > 1:
                again(tasks)
            return processor.run(items)

        def too_many(start: int, stop: int) -> None:
            devices.release_memory()
            did_not_fit(tasks[start:stop])

        outcomes = run_all(run, [task.item for task in tasks], too_many)
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
            output = task.model.processor.finish(task.job, outcome, task.context)
        except Exception as error:  # noqa: BLE001 - see prepare
            return self._failed(task, error)
        task.clock.finish_ms = _ms_since(began)
        answer = task.model.writer.succeeded(
            task.frame, task.job.header, task.header, output, task.clock, task.context.saved
        )
        if answer.disposition is Disposition.SUCCEEDED:
            task.context.succeeded()
        task.context.close()
        return answer

    def forget(self, task: Task) -> None:
        """Somebody else has this job now."""
        task.context.close()

    def _task(self, frame: JobFrame, opened: DecodedRequest) -> Task:
        request = opened.request
        model = self.models.of(request.header)
        context = WorkerJobContext(
            self._store,
            self._scratch,
            self._tell,
            soft_deadline(request.header, model.policy.limits.soft_ms),
            slot=frame.slot,
            stops=self.stops,
            header=request.header,
        )
        return Task(frame, Job(request.header, request.input), context, model, header=opened.header)

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
        return task.model.writer.failed(task.frame, task.job.header, error, task.clock)


def _overtaken(task: Task) -> JobError | None:
    """Why a job that waited, prepared, is not begun on the device; None if it is."""
    deadline = task.job.header.deadline
    if deadline is None or deadline > datetime.now(UTC):
        return None
    return DeadlineExceeded("The deadline passed while the job waited for the device.")


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


def hard_limit(task: Task) -> int | None:
    """Milliseconds that the device may take: the job's own limit, else its version's."""
    limit = task.job.header.hard_limit_ms
    return limit if limit is not None else task.model.policy.limits.hard_ms
