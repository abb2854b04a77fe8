"""An executor's inbox, its messages to the parent, and the wait of a job for its schema."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Any, Protocol

from schemas.errors import Unreachable
from streams import logs
from streams.worker.child.job_runner import JobRunner
from streams.worker.protocol import Answer, JobFrame

log = logs.get("worker")

PAUSE_AFTER_FAILURE_S = 1.0


class ParentChannel(Protocol):
    """Sends messages to the parent. Thread-safe."""

    def started(self, slots: list[int], hard_ms: int | None) -> None: ...

    def prepared(self, slots: list[int]) -> None:
        """Report jobs that wait for the device: until they are started again, the process is not killed for them."""

    def answers(self, answers: list[Answer]) -> None: ...

    def discarded(self, slots: list[int]) -> None: ...

    def batch_limit(self, bucket: str, max_size: int, max_cost: float | None) -> None:
        """Report that the device ran out of memory: batches of this bucket now have at most this size and cost."""

    def device_lost(self, slots: list[int], reason: str) -> None:
        """Report that the device fails, and which jobs were on it: the process is to be replaced."""


#: Frames from the parent, a JobFrame that comes back after its schema was fetched, a Task that is prepared, the number of jobs
#: that the CPU threads have finished, an exception that ends the process; None when the parent closes its pipe.
Inbox = SimpleQueue[Any]


def fetch_schema(runner: JobRunner, frame: JobFrame, channel: ParentChannel, inbox: Inbox) -> None:
    """Decode a job with the registry's help. Then it runs like any other, unless its answer is known already."""
    try:
        opened = runner.open(frame)
    except Unreachable as error:
        log.warning("waiting_for_registry", reason=error.message)
        timer = threading.Timer(PAUSE_AFTER_FAILURE_S, inbox.put, [frame])
        timer.daemon = True
        timer.start()
    else:
        if isinstance(opened, Answer):
            channel.answers([opened])
        else:
            inbox.put(frame)
