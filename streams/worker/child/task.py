"""A job inside the child, from its decoded request to its answer; and the part of it that the device's thread needs."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from connectors.claim_store import JobFiles
    from processors.protocol import Job
    from streams.worker.child.context import WorkerJobContext
    from streams.worker.child.versions import Model
    from streams.worker.protocol import JobFrame


@dataclass(slots=True, kw_only=True)
class DeviceTask:
    """A job as the device's thread sees it. `started_us` is in microseconds since the epoch, durations are in milliseconds."""

    frame: JobFrame
    model: Model
    #: None where a helper process has it, and the prepared item holds no reference to it.
    context: WorkerJobContext | None
    deadline: datetime | None
    #: Milliseconds that the device may take.
    hard_ms: int | None
    #: The output of `prepare`, until it has run.
    item: Any = None
    #: Decides with which other tasks it runs.
    batch_key: Hashable = None
    cost: float = 0.0
    started_us: int = 0
    prepare_ms: float = 0.0
    run_ms: float = 0.0
    batch_size: int = 1


@dataclass(slots=True, kw_only=True)
class Task(DeviceTask):
    """A job that may run, with all that its steps need."""

    context: WorkerJobContext
    job: Job[Any]
    #: The header's bytes as they arrived, where the result can carry them on unchanged.
    header_bytes: bytes | None
    files: JobFiles
    finish_ms: float = 0.0


def whole(task: DeviceTask) -> Task:
    """Return a task that this process has prepared."""
    assert isinstance(task, Task), "a helper process has the rest of this task"
    return task
