"""The steps of jobs as all executors take them: what is reported to the parent before and after each, and what must not run."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from schemas.errors import DeadlineExceeded
from schemas.states import Disposition
from streams.worker.child.channel import ParentChannel
from streams.worker.child.job_runner import DeviceLost, JobRunner
from streams.worker.child.task import DeviceTask, Task, whole
from streams.worker.protocol import Answer, Flag, JobFrame

#: The answers of one batch are sent together as long as that delays none of them longer than this.
MAX_ANSWER_DELAY_S = 0.02

D_ = TypeVar("D_", bound=DeviceTask)


class JobSteps(ABC):
    def __init__(self, runner: JobRunner, channel: ParentChannel) -> None:
        self._runner = runner
        self._channel = channel
        self._policy = runner.models.default.policy
        self._on_device: set[int] = set()  # slots that the device has begun, until they are answered

    @abstractmethod
    def _readable(self, frame: JobFrame) -> bool:
        """True if the job can be decoded without asking the registry; else it waits aside and the others go on."""

    @abstractmethod
    def _on_out_of_memory(self, tasks: Sequence[DeviceTask]) -> None:
        """Reduce the batch limit of this batch key: the device could not hold these tasks together."""

    def _run_inline(self, frames: list[JobFrame]) -> None:
        """Do all steps in this thread: for light work, or for a job that must be alone in the process.

        Jobs that must not run are answered before anything runs: else they would seem to run as long as their neighbours, and
        the process would be killed for them, again and again.
        """
        frames = [frame for frame in frames if self._readable(frame)]
        if not frames:
            return
        self._channel.started([frame.slot for frame in frames], self._policy.limits.hard_ms)
        if frames[0].flags & Flag.TEST and (answer := self._runner.warm_up(frames[0])) is not None:
            self._channel.answers([answer])
            return
        refused: list[Answer] = []
        opened = [task for frame in frames if (task := self._open(frame, refused)) is not None]
        self._channel.answers(refused)
        tasks = self._not_expired([task for task in opened if self._prepare_task(task)])
        if tasks:
            outcomes = self._run(tasks)
            if frames[0].flags & Flag.ISOLATED:
                self._prove_device(tasks)
            self._finish_all(tasks, outcomes)

    def _open_and_prepare(self, frame: JobFrame) -> Task | None:
        """Return a task for the device; None for a job that was answered, or that waits for its schema."""
        if not self._readable(frame):
            return None
        self._announce(frame)
        task = self._runner.open(frame)
        if isinstance(task, Answer):
            self._channel.answers([task])
            return None
        self._restart_limits([task])
        if not self._prepare_task(task):
            return None
        if task.hard_ms is not None:
            self._channel.started([frame.slot], None)  # its hard limit rests while it waits for the device
        if task.deadline is not None:
            self._channel.prepared([frame.slot])
        return task

    def _announce(self, frame: JobFrame) -> None:
        """Report that work on a job begins."""
        self._channel.started([frame.slot], None)

    def _open(self, frame: JobFrame, answers: list[Answer]) -> Task | None:
        opened = self._runner.open(frame)
        if isinstance(opened, Answer):
            answers.append(opened)
            return None
        limit_ms = opened.job.header.hard_limit_ms
        if limit_ms is not None:
            self._channel.started([frame.slot], limit_ms)
        return opened

    def _prepare_task(self, task: Task) -> bool:
        """Prepare a task. If that fails, or an earlier output is reused, answer it and return False."""
        try:
            answer = self._runner.prepare(task)
        except DeviceLost as lost:
            self._report_lost([task], lost)
            raise
        if answer is not None:
            self._channel.answers([answer])
        return answer is None

    def _not_expired(self, tasks: list[D_]) -> list[D_]:
        """Return the tasks that the device may begin. Those whose deadline passed while they waited for it are answered."""
        late = [task for task in tasks if task.deadline is not None and task.deadline <= datetime.now(UTC)]
        if not late:
            return tasks
        error = DeadlineExceeded("The deadline passed while the job waited for the device.")
        self._channel.answers([self._fail(task, error) for task in late])
        slots = {task.frame.slot for task in late}
        return [task for task in tasks if task.frame.slot not in slots]

    def _fail(self, task: DeviceTask, error: Exception) -> Answer:
        """Answer a prepared task that is not finished, because of `error`."""
        return self._runner.finish(whole(task), error)

    def _forget(self, task: DeviceTask) -> None:
        """Discard a prepared task that has not begun: it will not run here."""
        whole(task).context.close()

    def _finish_all(self, tasks: Sequence[DeviceTask], outcomes: Sequence[Any]) -> None:
        """Finish tasks one after the other. The answer of a job with a deadline does not wait for the next one's."""
        answers: list[Answer] = []
        sent_at = time.monotonic()
        for task, outcome in zip(tasks, outcomes, strict=True):
            answer = self._finish_task(task, outcome)
            answers.append(answer)
            urgent = task.deadline is not None or answer.disposition is Disposition.CANCELLED
            if urgent or time.monotonic() - sent_at >= MAX_ANSWER_DELAY_S:
                self._send_finished(answers)
                answers, sent_at = [], time.monotonic()
        self._send_finished(answers)

    def _send_finished(self, answers: list[Answer]) -> None:
        self._channel.answers(answers)
        self._on_device.difference_update([answer.slot for answer in answers])

    def _finish_task(self, task: DeviceTask, outcome: Any) -> Answer:
        try:
            answer = self._runner.finish(whole(task), outcome)
        except DeviceLost as lost:
            self._report_lost([task], lost)
            raise
        return answer

    def _run(self, tasks: Sequence[DeviceTask]) -> list[Any]:
        self._on_device.update([task.frame.slot for task in tasks])
        try:
            return self._runner.run(tasks, self._on_out_of_memory, self._restart_limits)
        except DeviceLost as lost:
            self._report_lost(tasks, lost)
            raise

    def _prove_device(self, tasks: Sequence[DeviceTask]) -> None:
        """Prove the device after tasks that ran alone, although they did not fail: it may be one of them that breaks it."""
        try:
            self._runner.prove_device(tasks)
        except DeviceLost as lost:
            self._report_lost(tasks, lost)
            raise

    def _report_lost(self, tasks: Sequence[DeviceTask], lost: DeviceLost) -> None:
        """Name the suspects: a kernel's error may show late, so these tasks and all other jobs that the device has begun."""
        suspects = self._on_device.copy().union(task.frame.slot for task in tasks)
        self._channel.device_lost(sorted(suspects), str(lost))

    def _restart_limits(self, tasks: Sequence[DeviceTask]) -> None:
        """Start hard limits again, and the watch on deadlines. A hard limit is for one run on the device: the wait for the
        device does not count, nor do the runs that look for a bad neighbour."""
        by_limit: dict[int | None, list[int]] = {}
        for task in tasks:
            if task.hard_ms is not None or task.deadline is not None:
                by_limit.setdefault(task.hard_ms, []).append(task.frame.slot)
        for limit_ms, slots in by_limit.items():
            self._channel.started(slots, limit_ms)
