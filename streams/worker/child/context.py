"""What a processor is given: the outside world of one job, and the weights while it loads."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from connectors.objects import ClaimStore
from processors import devices, weights
from schemas.errors import ConnectionFailed, DeadlineExceeded, JobCancelled, JobError, JobTimeout, PayloadTooLarge
from schemas.records import Claim, JobHeader
from streams import logs
from streams.worker.child.cancelled_slots import CancelledSlots

log = logs.get("worker")

#: slot, stage, percent, message
Tell = Callable[[int, str, float | None, str], None]


@cache
def _pick(wanted: str) -> devices.Device:
    """Once for all versions in a process: a kernel is run for it, and an operator is told once."""
    picked = devices.pick_device(wanted)
    say = log.warning if picked.warning else log.info
    say("device", device=picked.name, reason=picked.reason)
    return picked


class WorkerLoadContext:
    """`device` is looked for when first asked: a processor that never asks does not pay for importing torch."""

    def __init__(self, processor: type[Any], device: str, weights_dir: Path | None) -> None:
        self._processor = processor
        self._wanted = device
        self._weights_dir = weights_dir
        #: What was found when the processor asked.
        self.picked = devices.Device("cpu", "the processor asks for no device")

    @cached_property
    def device(self) -> str:
        self.picked = _pick(self._wanted)
        return self.picked.name

    @property
    def used_device(self) -> str:
        """The device the processor asked for; "cpu" when it never did."""
        return self.picked.name

    def weights(self, name: str, sha256: str) -> Path:
        beside = weights.weights_beside(self._processor)
        return weights.find_weights(name, sha256, beside=beside, directory=self._weights_dir)


#: A checkpoint is a place to go on from, not a place for results.
LARGEST_CHECKPOINT = 1 << 20


class WorkerCheckpoint:
    """Kept in the object store under the job's id and run, so that the next execution finds it on any machine."""

    __slots__ = ("_name", "_store", "used")

    def __init__(self, store: ClaimStore, job_id: str, run: int) -> None:
        self._store = store
        self._name = f"checkpoints/{job_id}/{run}"
        self.used = False

    def get(self) -> bytes | None:
        found = self._store.get_named(self._name)
        self.used = self.used or found is not None
        return found

    def put(self, data: bytes) -> None:
        if len(data) > LARGEST_CHECKPOINT:
            raise PayloadTooLarge(
                f"The checkpoint has {len(data)} bytes; {LARGEST_CHECKPOINT} are allowed.",
                next_step="Save large files (ctx.save) and keep their claims in the checkpoint.",
            )
        self._store.put_named(self._name, data)
        self.used = True

    def done(self) -> None:
        """The job has succeeded. Left-overs do no harm, so a store that is away does not matter."""
        with suppress(ConnectionFailed):
            self._store.delete_named(self._name)


class WorkerJobContext:
    """One job's doors to the outside. Costs nothing until a file is touched."""

    __slots__ = (
        "_checkpoint",
        "_folder",
        "_header",
        "_root",
        "_slot",
        "_stops",
        "_store",
        "_tell",
        "saved",
        "soft_deadline",
    )

    def __init__(
        self,
        store: ClaimStore,
        root: Path,
        tell: Tell,
        soft_deadline: float | None,
        *,
        slot: int,
        stops: CancelledSlots,
        header: JobHeader,
    ) -> None:
        self._store = store
        self._root = root
        self._tell = tell
        self._slot = slot
        self._stops = stops
        self._header = header
        self._checkpoint: WorkerCheckpoint | None = None
        self._folder: Path | None = None
        self.soft_deadline = soft_deadline
        #: Claims of everything the job stored; they travel in the result as `output_refs`.
        self.saved: list[Claim] = []

    def open(self, claim: Claim) -> Path:
        return self._store.fetch(claim, self.scratch())

    def save(self, path: Path, content_type: str) -> Claim:
        claim = self._store.put_file(path, content_type)
        self.saved.append(claim)
        return claim

    def scratch(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="job-", dir=self._root))
        return self._folder

    def progress(self, stage: str, percent: float | None = None, message: str = "") -> None:
        self._tell(self._slot, stage, percent, message)

    @property
    def checkpoint(self) -> WorkerCheckpoint:
        if self._checkpoint is None:
            self._checkpoint = WorkerCheckpoint(self._store, self._header.job_id, self._header.run)
        return self._checkpoint

    def succeeded(self) -> None:
        """Nobody goes on from here any more."""
        if self._checkpoint is not None and self._checkpoint.used:
            self._checkpoint.done()

    def cancelled(self) -> bool:
        return self.told_to_stop() is not None

    def told_to_stop(self) -> JobError | None:
        """Why the job is to stop, as the error that it ends with if it does; None while it may go on."""
        if self._stops.asked(self._slot):
            return JobCancelled("The job was cancelled.")
        deadline = self._header.deadline
        if deadline is not None and datetime.now(UTC) >= deadline:
            return DeadlineExceeded("The deadline passed while the job ran, and it stopped.")
        if self.soft_deadline is not None and time.monotonic() >= self.soft_deadline:
            return JobTimeout("The job's soft limit passed, and it stopped.")
        return None

    def close(self) -> None:
        """Remove what the job left on disk."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
