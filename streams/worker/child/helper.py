"""A helper process of the child: prepares jobs and finishes them, while the child's own process runs the device.

The child starts it with `python -m streams.worker.child.helper`, for a policy with `processes`. It loads the processor as the
child does, with `ctx.helper` set. A job is prepared and finished by the same helper, which keeps its context meanwhile.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys
import threading
from collections import deque
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from schemas.errors import ProcessorBug, SluiceError
from schemas.records import Claim
from streams import logs
from streams.settings import Settings
from streams.worker import protocol
from streams.worker.child.assembly import build_job_runner
from streams.worker.child.channel import Inbox
from streams.worker.child.context import WorkerJobContext
from streams.worker.child.exit import die_with_parent, hide_pipes_from_forks, run_and_exit, tune_gc
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
    Ready,
    Relay,
)
from streams.worker.child.inline import InlineExecutor
from streams.worker.child.job_runner import JobRunner
from streams.worker.child.loader import load_versions
from streams.worker.child.pipe_channel import PipeChannel
from streams.worker.child.task import Task
from streams.worker.child.text import to_text
from streams.worker.child.transfer import Connection
from streams.worker.protocol import Answer, JobFrame, MessageKind

log = logs.get("worker")


class HelperChannel(PipeChannel):
    """The ParentChannel of a helper: frames for the parent go through the child's process.

    Frames that limits depend on are sent at once, by the thread that works. Prepared jobs and answers are sent by a thread of
    their own, as many at a time as have come together.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._outgoing: SimpleQueue[Answered | tuple[PreparedJob, Task] | None] = SimpleQueue()
        self._sender = threading.Thread(target=self._send_all, name="send", daemon=True)
        self._sender.start()

    def send(self, frame: bytes) -> None:
        self._connection.send([Relay(frame)])

    def answers(self, answers: list[Answer]) -> None:
        if answers:
            self._outgoing.put(_answered(answers))

    def prepared_task(self, task: Task) -> None:
        """Pass a prepared job on to the device."""
        fields = (task.frame.slot, task.model.version, task.item, task.batch_key, task.cost)
        made = PreparedJob(*fields, task.deadline, task.hard_ms, task.started_us, task.prepare_ms)
        self._outgoing.put((made, task))

    def close(self) -> None:
        """Send what is left."""
        self._outgoing.put(None)
        self._sender.join()

    def _send_all(self) -> None:
        while (event := self._outgoing.get()) is not None:
            together, last = [event], False
            try:
                while not last:
                    last = (event := self._outgoing.get_nowait()) is None
                    if event is not None:
                        together.append(event)
            except Empty:
                pass
            self._send(together)
            if last:
                return

    def _send(self, events: list[Answered | tuple[PreparedJob, Task]]) -> None:
        try:
            self._connection.send([event if isinstance(event, Answered) else event[0] for event in events])
        except OSError:
            os._exit(1)  # the child is gone
        except Exception as error:  # noqa: BLE001 - pickle raises whatever an item's class raises
            if len(events) > 1:
                for event in events:
                    self._send([event])
            elif not isinstance(event := events[0], Answered):
                self._send([_answered([_not_sent(event[1], error)])])


def _answered(answers: list[Answer]) -> Answered:
    frame = protocol.write_frame(MessageKind.ANSWERS, map(protocol.pack_answer, answers))
    return Answered([answer.slot for answer in answers], frame)


def _not_sent(task: Task, error: Exception) -> Answer:
    """Answer a job whose prepared item can't be sent to the device's process."""
    bug = ProcessorBug(
        f"prepare() returned what can't be pickled: {type(error).__name__}: {to_text(error)}"[:500],
        next_step="Return plain data, arrays or tensors, or set threads in the policy in place of processes.",
    )
    task.context.close()
    return task.model.writer.failed(task.frame, task.job.header, bug, task)


class HelperExecutor(InlineExecutor):
    """Finishes before it prepares, one job at a time, so that jobs leave before others come."""

    _channel: HelperChannel

    def __init__(self, runner: JobRunner, channel: HelperChannel) -> None:
        super().__init__(runner, channel)
        self._ran: deque[Ran] = deque()
        self._tasks: dict[int, Task] = {}  # prepared here, by slot, until they are finished or discarded

    def work(self, inbox: Inbox) -> None:
        super().work(inbox)
        while self._ran:
            self._finish_next()

    def cancel_running(self, slots: list[int]) -> None:
        """Have the contexts of these jobs say that they should stop. From the thread that receives."""
        self._runner.cancelled.add(slots)

    def close(self) -> None:
        """Send what is left."""
        self._channel.close()

    def context_of(self, sent: tuple[int, list[Claim], bool]) -> WorkerJobContext:
        """Return the context of a job that comes back, with what `run` did with it."""
        slot, saved, used_checkpoint = sent
        context = self._tasks[slot].context
        context.saved += saved
        context.checkpoint.used |= used_checkpoint
        return context

    def _handle(self, event: Any) -> None:
        if isinstance(event, Prepare):
            for frame in event.frames:
                self._enqueue(frame)
        elif isinstance(event, Finish):
            self._ran.extend(event.ran)
        elif isinstance(event, Discard):
            for slot in event.slots:
                self._tasks.pop(slot).context.close()
        else:
            super()._handle(event)

    def _has_work(self) -> bool:
        return bool(self._ran or len(self._waiting))

    def _step(self) -> None:
        if self._ran:
            self._finish_next()
        elif len(self._waiting):
            task = self._open_and_prepare(self._waiting.pop())
            if task is not None:
                self._tasks[task.frame.slot] = task
                self._channel.prepared_task(task)
                task.item = None

    def _announce(self, frame: JobFrame) -> None:
        """Leave it to the child's process, which reported the job as started when it sent it."""

    def _finish_next(self) -> None:
        ran = self._ran.popleft()
        task = self._tasks.pop(ran.slot)
        task.run_ms, task.batch_size = ran.run_ms, ran.batch_size
        self._channel.answers([self._finish_task(task, ran.outcome)])


def main(argv: list[str]) -> int:
    """Run a helper. `argv`: the descriptor of its socket, and the child's process id."""
    faulthandler.enable()
    die_with_parent(int(argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hide_pipes_from_forks(int(argv[0]))
    executors: list[HelperExecutor] = []
    connection = Connection(
        socket.socket(fileno=int(argv[0])), Path(argv[2]), _save_context, lambda sent: executors[0].context_of(sent)
    )
    config: HelperConfig = connection.receive()
    try:
        executors.append(_set_up(config, connection))
    except SluiceError as error:
        connection.send(Broken(error.message, error.next_step))
        return error.exit_code
    connection.send(Ready(os.getpid()))
    inbox: Inbox = SimpleQueue()
    threading.Thread(target=_listen, args=(connection, inbox, executors[0]), name="listen", daemon=True).start()
    tune_gc()
    executors[0].work(inbox)
    executors[0].close()
    return 0


def _set_up(config: HelperConfig, connection: Connection) -> HelperExecutor:
    settings = Settings(**config.child.settings)
    logs.configure(settings.log_level, settings.log_format, service="worker-helper", worker=config.child.worker_id)
    rollout = settings.rollouts.get(config.child.processor)
    loaded = load_versions(config.child.processor, rollout, "cpu", settings.weights_dir, helper=True)
    channel = HelperChannel(connection)
    runner = build_job_runner(config.child, settings, loaded, channel, facts=config.facts)
    return HelperExecutor(runner, channel)


def _save_context(context: WorkerJobContext) -> Any:
    return context.slot, context.header, context.soft_deadline, context.scratch()


def _listen(connection: Connection, inbox: Inbox, executor: HelperExecutor) -> None:
    """Pass on messages. The child's end, however it comes, ends this process once what has run is finished."""
    try:
        while True:
            message = connection.receive()
            if isinstance(message, Cancel):  # not through the inbox, which waits for the job that is cancelled
                executor.cancel_running(message.slots)
            else:
                inbox.put(message)
    except (EOFError, OSError):
        inbox.put(None)
    except BaseException as error:  # noqa: BLE001 - raised again by the executor
        inbox.put(error)


if __name__ == "__main__":
    run_and_exit(lambda: main(sys.argv[1:]))
