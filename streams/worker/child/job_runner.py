"""The four steps of a job in the child: open, prepare, run, finish. An error in a step fails that job alone.

Knows nothing of pipes or threads: an executor decides which thread calls which step when.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from connectors.claim_store import JobFiles
from processors import devices
from schemas.errors import (
    ConnectionFailed,
    DeadlineExceeded,
    ErrorCode,
    InvalidInput,
    JobCancelled,
    JobError,
    JobTimeout,
    ModelNotFound,
    Unreachable,
)
from schemas.records import JobHeader
from schemas.states import Disposition
from streams import logs
from streams.worker.child.bisect import as_out_of_memory, is_out_of_memory, run_all
from streams.worker.child.context import CancelledSlots, Reports, WorkerJobContext
from streams.worker.child.decode import RequestDecoder, soft_deadline
from streams.worker.child.results import now_us
from streams.worker.child.task import DeviceTask, Task
from streams.worker.child.versions import ModelVersions
from streams.worker.protocol import Answer, JobFrame

log = logs.get("worker")

OnTasks = Callable[[Sequence[DeviceTask]], None]

#: Errors that no broken device causes. After any other, the device is proven.
NOT_THE_DEVICE = (InvalidInput, JobCancelled, DeadlineExceeded, JobTimeout, ConnectionFailed)


class DeviceLost(Exception):
    """The device fails whatever this process asks of it. The process must be replaced; its jobs run in the next one."""


class JobRunner:
    """Runs the jobs of a processor, which is loaded in each of its versions."""

    def __init__(
        self,
        models: ModelVersions,
        decoder: RequestDecoder,
        open_files: Callable[[str, int], JobFiles],
        scratch: Path,
        reports: Reports,
        *,
        helper: bool = False,
    ) -> None:
        self.models = models
        self._decoder = decoder
        self._open_files = open_files
        self._scratch = scratch
        self._reports = reports
        self._helper = helper  # in a helper process, which does not use the device
        #: Jobs that are cancelled, and have not been answered as such.
        self.cancelled = CancelledSlots()

    def can_read(self, frame: JobFrame) -> bool:
        return self._decoder.can_read(frame)

    def open(self, frame: JobFrame) -> Task | Answer:
        """Decode a job: return its task, or the answer of a job that must not run. Raises Unreachable: try again later."""
        try:
            return self._open(frame)
        except Unreachable:
            raise
        except Exception as error:  # noqa: BLE001 - nothing about one record may end the process, which would read it again
            log.error("record_not_opened", type=type(error).__name__, trace=_trace_of(error))
            return self._decoder.unforeseen(frame, error)

    def _open(self, frame: JobFrame) -> Task | Answer:
        opened = self._decoder.read(frame)
        if isinstance(opened, Answer):
            return opened
        job, header_bytes = opened
        try:
            model = self.models.select(job.header)
        except ModelNotFound as error:
            return self.models.default.writer.failed(frame, job.header, error)
        header, limits = job.header, model.policy.limits
        context = self.context(frame.slot, header, soft_deadline(header, limits.soft_ms))
        return Task(
            frame=frame,
            model=model,
            context=context,
            deadline=header.deadline,
            hard_ms=limits.hard_ms if header.hard_limit_ms is None else header.hard_limit_ms,
            job=job,
            header_bytes=header_bytes,
            files=context.files,
        )

    def context(
        self, slot: int, header: JobHeader, soft_deadline_: float | None, folder: Path | None = None
    ) -> WorkerJobContext:
        """Return a context for the job in a slot. `folder`: of its files, where another process has made it."""
        return WorkerJobContext(
            self._open_files(header.job_id, header.run),
            self._scratch,
            self._reports,
            soft_deadline_,
            slot=slot,
            cancelled=self.cancelled,
            header=header,
            folder=folder,
        )

    def warm_up(self, frame: JobFrame) -> Answer | None:
        """Do the first part of a self-test, each version's `warm_up`. Returns its answer if it ends with this part."""
        failed = frame.error_code.decode()  # it has killed its process before
        if not failed:
            try:
                for model in self.models:
                    if model.warm_up is not None:
                        model.warm_up()
            except Exception as error:  # noqa: BLE001 - a processor may raise anything
                failed = f"{ErrorCode.PROCESSOR_ERROR} {type(error).__name__}"
        if failed or not frame.value:
            disposition = Disposition.FAILED if failed else Disposition.SUCCEEDED
            return Answer(frame.slot, frame.execution, disposition, "", 0, 0, b"", failure=failed)
        return None

    def prepare(self, task: Task) -> Answer | None:
        """Do the CPU work before the device; returns an answer if it failed, or if a stored output is reused."""
        began = time.perf_counter()
        task.started_us = now_us()
        try:
            self._raise_if_cancelled(task)
            if task.model.memo is not None and (found := task.model.memo.find(task)) is not None:
                return self._reuse(task, found, began)
            task.item = task.model.processor.prepare(task.job, task.context)
            if self.models.prepares_first:
                task.batch_key, task.cost = task.model.batch_key(task.item)
        except Exception as error:  # noqa: BLE001 - a processor may raise anything; only this job fails
            return self._failed(task, error)
        task.prepare_ms = _ms_since(began)
        return None

    def _reuse(self, task: Task, found: dict[str, Any], began: float) -> Answer:
        """Answer with the output of an earlier run: nothing of the processor is called."""
        task.prepare_ms = _ms_since(began)
        answer = task.model.writer.reused(task, found)
        task.context.close()
        return answer

    def run(self, tasks: Sequence[DeviceTask], on_out_of_memory: OnTasks, on_rerun: OnTasks) -> list[Any]:
        """Run tasks of one version on the device; returns one outcome per task: the raw output or an exception.

        `on_out_of_memory` is called with tasks that did not fit into memory together, `on_rerun` before each further run.
        """
        began = time.perf_counter()
        processor, runs = tasks[0].model.processor, 0

        def run(items: Sequence[Any]) -> Sequence[Any]:
            nonlocal runs
            runs += 1
            if runs > 1:
                on_rerun(tasks)
                _restart_texts(tasks, items)
            return processor.run(items)

        def out_of_memory(start: int, stop: int) -> None:
            devices.release_memory()
            on_out_of_memory(tasks[start:stop])

        def prove(error: Exception) -> None:
            self._prove_device(tasks[0], error)

        outcomes = run_all(run, [task.item for task in tasks], out_of_memory, prove)
        if (returned := next((each for each in outcomes if isinstance(each, Exception)), None)) is not None:
            prove(returned)  # a processor may catch what its device raises
        run_ms, batch_size = _ms_since(began), len(tasks)
        for task in tasks:
            task.run_ms, task.batch_size = run_ms, batch_size
            task.item = None
        return outcomes

    def finish(self, task: Task, outcome: Any) -> Answer:
        """Do the CPU work after the device, and write the answer."""
        if isinstance(outcome, Exception):
            return self._failed(task, outcome)
        began = time.perf_counter()
        try:
            self._raise_if_cancelled(task)
            output = task.model.processor.finish(task.job, outcome, task.context)
        except Exception as error:  # noqa: BLE001 - see prepare
            return self._failed(task, error)
        task.finish_ms = _ms_since(began)
        answer = task.model.writer.succeeded(task, output)
        if answer.disposition is Disposition.SUCCEEDED:
            task.context.delete_checkpoint()
            if task.model.memo is not None:
                task.model.memo.keep(task, output)
        task.context.close()
        return answer

    def prove_device(self, tasks: Sequence[DeviceTask]) -> None:
        """Raise DeviceLost if the device fails under tasks that ran alone: an error in a kernel may show late."""
        for task in tasks:
            self._prove(task, settle=True)

    def _raise_if_cancelled(self, task: Task) -> None:
        """Called between the steps of a job, so that none begins for a job that is cancelled."""
        if self.cancelled and task.frame.slot in self.cancelled:
            raise JobCancelled("The job was cancelled.")

    def _failed(self, task: Task, error: Exception) -> Answer:
        if isinstance(error, JobCancelled):  # the processor saw that it should stop; the context knows why
            error = task.context.stop_reason() or error
            self.cancelled.discard(task.frame.slot)
        task.context.close()
        if is_out_of_memory(error):
            error = as_out_of_memory(error)
        self._prove_device(task, error, settle=False)  # other threads may have a batch on the device
        if not isinstance(error, JobError):
            _log_bug(task, error)
        return task.model.writer.failed(task.frame, task.job.header, error, task)

    # ── the device ──

    def _prove_device(self, task: DeviceTask, error: Exception, *, settle: bool = True) -> None:
        """Raise DeviceLost if the error of this task, or of its batch, has taken the device with it."""
        if not (isinstance(error, NOT_THE_DEVICE) or is_out_of_memory(error)):
            self._prove(task, settle, type(error).__name__)

    def _prove(self, task: DeviceTask, settle: bool, kind: str | None = None) -> None:
        if self._helper:
            return
        name = devices.device_in_use(task.model.writer.device)
        fault = devices.device_fault(name, settle=settle)
        if fault is not None:
            # Without the text of the error, which may quote the input.
            log.error("device_lost", device=name, fault=fault, error=kind)
            raise DeviceLost(f"{name} does not work any more: {fault}") from None


def _restart_texts(tasks: Sequence[DeviceTask], items: Sequence[Any]) -> None:
    """Begin the texts of those tasks again whose items run again."""
    again = set(map(id, items))
    for task in tasks:
        if task.context is not None and id(task.item) in again:
            task.context.restart_text()


def _log_bug(task: Task, error: Exception) -> None:
    """Log where an unexpected error came from, without its message and local variables: both may quote the input."""
    header = task.job.header
    log.error("processor_bug", job_id=header.job_id, run=header.run, type=type(error).__name__, trace=_trace_of(error))


def _trace_of(error: Exception) -> list[str]:
    frames, trace = [], error.__traceback__
    while trace is not None:
        frames.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno} {trace.tb_frame.f_code.co_name}")
        trace = trace.tb_next
    return frames


def _ms_since(began: float) -> float:
    return (time.perf_counter() - began) * 1000
