"""Prepares and finishes in helper processes: the interpreter that feeds the device does nothing else (docs/adr/0046)."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from schemas.errors import ProcessorBug, StartupError
from schemas.records import JobHeader
from streams import logs
from streams.environment import child_environment, python_module
from streams.worker.child.channel import Inbox
from streams.worker.child.context import WorkerJobContext
from streams.worker.child.helper_messages import (
    Answered,
    Broken,
    Cancel,
    Discard,
    Finish,
    HelperConfig,
    Prepare,
    PreparedJob,
    Ran,
    Relay,
)
from streams.worker.child.job_runner import JobRunner
from streams.worker.child.pipe_channel import PipeChannel
from streams.worker.child.pipelined import PipelinedExecutor, Unprepared
from streams.worker.child.task import DeviceTask
from streams.worker.child.text import to_text
from streams.worker.child.transfer import Connection
from streams.worker.protocol import Answer, JobFrame

log = logs.get("worker")

#: A helper has work for this long, so that it need not wait for the child's process, which may be launching.
QUEUED_S = 0.02
LEAST_QUEUED, MOST_QUEUED = 2, 64
#: Jobs that take longer to prepare than this do not queue behind each other.
LONG_S = 0.25


class HelperLost(Exception):
    """A helper process has died with jobs in it. The child must end, and its parent decides about them."""


class Helper:
    """A helper process. Create it in a thread that lives as long as the child: the kernel kills it with that thread."""

    def __init__(self, config: HelperConfig, runner: JobRunner) -> None:
        ours, theirs = socket.socketpair()
        scratch = Path(config.child.scratch)
        with theirs:
            arguments = (str(theirs.fileno()), str(os.getpid()), str(scratch))
            self.process = subprocess.Popen(
                python_module("streams.worker.child.helper", *arguments),
                pass_fds=(theirs.fileno(),),
                env=child_environment(),
                stdin=subprocess.DEVNULL,
            )
        self._runner = runner
        self._contexts: dict[int, WorkerJobContext] = {}
        self.preparing: set[int] = set()
        self.finishing: set[int] = set()
        self.connection = Connection(ours, scratch, _save_context, self._find_context)
        self.connection.send(config)

    def wait_until_ready(self) -> None:
        """Wait until it has loaded the processor. Raises StartupError."""
        try:
            message = self.connection.receive()
        except (EOFError, OSError) as error:
            status = self.process.wait()
            raise StartupError(f"A helper process ended while it started (status {status}).") from error
        if isinstance(message, Broken):
            raise StartupError(f"In a helper process: {message.message}", next_step=message.next_step)

    def context_of(self, slot: int) -> WorkerJobContext | None:
        """Return the context that the job's item refers to, if it does. It is forgotten here."""
        return self._contexts.pop(slot, None)

    def _find_context(self, sent: tuple[int, JobHeader, float | None, Path]) -> WorkerJobContext:
        slot, header, soft_deadline, folder = sent
        if slot not in self._contexts:
            self._contexts[slot] = self._runner.context(slot, header, soft_deadline, folder)
        return self._contexts[slot]


def _save_context(context: WorkerJobContext) -> Any:
    return context.slot, context.saved, context.checkpoint.used


class HelpedExecutor(PipelinedExecutor):
    def __init__(self, runner: JobRunner, channel: PipeChannel, helpers: Sequence[Helper]) -> None:
        super().__init__(runner, channel, LEAST_QUEUED * len(helpers))
        self._pipe = channel
        self._helpers = helpers
        self._helper_of: dict[int, Helper] = {}  # by slot, of the jobs that a helper holds
        self._frames: dict[int, JobFrame] = {}  # by slot, while they are prepared
        self._closing = False
        self._receivers: list[threading.Thread] = []

    def work(self, inbox: Inbox) -> None:
        self._inbox = inbox
        for helper in self._helpers:
            thread = threading.Thread(target=self._receive, args=(helper,), name="receive", daemon=True)
            self._receivers.append(thread)
            thread.start()
        super().work(inbox)

    def cancel(self, inbox: Inbox, slots: Iterable[int]) -> None:
        cancelled = list(slots)
        super().cancel(inbox, cancelled)
        for helper in self._helpers:
            self._send(helper, Cancel(cancelled))

    # ── the steps ──

    def _prepare_next(self) -> bool:
        helper = min(self._helpers, key=lambda each: len(each.preparing) + len(each.finishing))
        room = self._queue_length() - len(helper.preparing)
        if room <= 0 or room < self._queue_length() // 2:  # a few large messages rather than many small ones
            return False
        frames = []
        for frame in self._take_waiting(room):
            if self._readable(frame):
                frames.append(frame)
            else:
                self._inbox.put(Unprepared(1))
        if frames:
            slots = [frame.slot for frame in frames]
            helper.preparing.update(slots)
            self._helper_of |= dict.fromkeys(slots, helper)
            self._frames |= {frame.slot: frame for frame in frames}
            self._channel.started(slots, None)
            self._send(helper, Prepare(frames))
        return True

    def _queue_length(self) -> int:
        """Return how many jobs a helper may have to prepare."""
        if not self._prepare_s:
            return LEAST_QUEUED
        least = 1 if self._prepare_s > LONG_S else LEAST_QUEUED
        return min(MOST_QUEUED, max(least, int(QUEUED_S / self._prepare_s)))

    def _begin_finish(self, tasks: Sequence[DeviceTask], outcomes: Sequence[Any]) -> None:
        by_helper: dict[int, list[Ran]] = {}
        answers: list[Answer] = []
        for task, outcome in zip(tasks, outcomes, strict=True):
            if isinstance(outcome, Exception):
                answers.append(self._fail(task, outcome))
            else:
                helper = self._helper_of[task.frame.slot]
                helper.finishing.add(task.frame.slot)
                ran = Ran(task.frame.slot, outcome, task.run_ms, task.batch_size)
                by_helper.setdefault(self._helpers.index(helper), []).append(ran)
        by_slot = {task.frame.slot: task for task in tasks}
        for number, ran_ in by_helper.items():
            answers += self._send_ran(self._helpers[number], ran_, by_slot)
        if answers:
            self._send_finished(answers)
            self._inbox.put(len(answers))

    def _send_ran(self, helper: Helper, ran: list[Ran], tasks: dict[int, DeviceTask]) -> list[Answer]:
        """Send tasks to be finished. Returns the answers of those whose output can't be sent."""
        try:
            self._send(helper, Finish(ran))
        except Exception as error:  # noqa: BLE001 - pickle raises whatever an output's class raises
            if len(ran) > 1:
                return [answer for each in ran for answer in self._send_ran(helper, [each], tasks)]
            bug = ProcessorBug(f"run() returned what can't be pickled: {type(error).__name__}: {to_text(error)}"[:500])
            return [self._fail(tasks[ran[0].slot], bug)]
        for each in ran:
            if (context := tasks[each.slot].context) is not None:
                context.hand_on()
        return []

    def _fail(self, task: DeviceTask, error: Exception) -> Answer:
        """Open the job again in this process, where the error's traceback and the device are."""
        self._forget(task)
        opened = self._runner.open(task.frame)
        if isinstance(opened, Answer):
            return opened
        opened.started_us, opened.prepare_ms = task.started_us, task.prepare_ms
        opened.run_ms, opened.batch_size = task.run_ms, task.batch_size
        return self._finish_task(opened, error)

    def _forget(self, task: DeviceTask) -> None:
        slot = task.frame.slot
        helper = self._helper_of.pop(slot)
        helper.finishing.discard(slot)
        self._send(helper, Discard([slot]))
        if task.context is not None:
            task.context.hand_on()

    def _close(self) -> None:
        self._closing = True
        for helper in self._helpers:
            helper.connection.end()
        for helper, thread in zip(self._helpers, self._receivers, strict=True):
            thread.join()
            helper.process.wait()

    # ── the helpers ──

    def _send(self, helper: Helper, message: Any) -> None:
        try:
            helper.connection.send(message)
        except OSError:  # the thread that receives notices that it is gone
            log.warning("helper_gone", helper=helper.process.pid)

    def _receive(self, helper: Helper) -> None:
        try:
            while True:
                for event in helper.connection.receive():
                    self._on_event(helper, event)
        except (EOFError, OSError):
            if not self._closing or helper.finishing:
                self._lost(helper)
        except BaseException as error:  # noqa: BLE001 - raised again by `work`, on the device's thread
            self._inbox.put(error)

    def _on_event(self, helper: Helper, event: Relay | PreparedJob | Answered) -> None:
        if isinstance(event, Relay):
            self._pipe.send(event.frame)
        elif isinstance(event, PreparedJob):
            helper.preparing.discard(event.slot)
            self._inbox.put(self._task_of(helper, event))
        else:
            self._pipe.send(event.frame)
            self._answered(helper, event.slots)

    def _task_of(self, helper: Helper, event: PreparedJob) -> DeviceTask:
        return DeviceTask(
            frame=self._frames.pop(event.slot),
            model=self._runner.models.named(event.version),
            context=helper.context_of(event.slot),
            deadline=event.deadline,
            hard_ms=event.hard_ms,
            item=event.item,
            batch_key=event.batch_key,
            cost=event.cost,
            started_us=event.started_us,
            prepare_ms=event.prepare_ms,
        )

    def _answered(self, helper: Helper, slots: list[int]) -> None:
        self._on_device.difference_update(slots)
        unprepared = 0
        for slot in slots:
            del self._helper_of[slot]
            self._runner.cancelled.discard(slot)
            if slot in helper.preparing:
                helper.preparing.discard(slot)
                del self._frames[slot]
                unprepared += 1
            else:
                helper.finishing.discard(slot)
        if unprepared:
            self._inbox.put(Unprepared(unprepared))
        if unprepared < len(slots):
            self._inbox.put(len(slots) - unprepared)

    def _lost(self, helper: Helper) -> None:
        suspects = sorted(helper.preparing | helper.finishing)
        reason = f"A helper process ended (status {helper.process.wait()})."
        self._pipe.helper_lost(suspects, reason)
        self._inbox.put(HelperLost(reason))
