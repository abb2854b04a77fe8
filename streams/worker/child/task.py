"""A job inside the child, from its decoded request to its answer."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from connectors.claim_store import JobFiles
    from processors.protocol import Job
    from streams.worker.child.context import WorkerJobContext
    from streams.worker.child.versions import Model
    from streams.worker.protocol import JobFrame


@dataclass(slots=True)
class Task:
    """A job that may run. `started_us` is in microseconds since the epoch, durations are in milliseconds."""

    frame: JobFrame
    job: Job[Any]
    #: The header's bytes as they arrived, where the result can carry them on unchanged.
    header_bytes: bytes | None
    context: WorkerJobContext
    model: Model
    files: JobFiles
    #: The output of `prepare`, until it has run.
    item: Any = None
    #: Decides with which other tasks it runs.
    batch_key: Hashable = None
    cost: float = 0.0
    started_us: int = 0
    prepare_ms: float = 0.0
    run_ms: float = 0.0
    finish_ms: float = 0.0
    batch_size: int = 1
