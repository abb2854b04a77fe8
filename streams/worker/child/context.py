"""The context that a job's `prepare` and `finish` get: files, progress, its checkpoint, and whether it should stop."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from connectors.claim_store import JobFiles
from schemas.errors import ConnectionFailed, DeadlineExceeded, JobCancelled, JobError, JobTimeout, PayloadTooLarge
from schemas.records import Claim, JobHeader
from streams import logs

log = logs.get("worker")


class Reports(Protocol):
    """Passes on what a processor reports of the job in a slot. Thread-safe."""

    def progress(self, slot: int, stage: str, percent: float | None, message: str) -> None: ...

    def text(self, slot: int, text: str, *, restart: bool = False) -> None:
        """Pass on generated text. `restart`: the job generates it from its beginning again."""


#: Bytes. A checkpoint is a place to continue from, not a place for results.
LARGEST_CHECKPOINT = 1 << 20
#: Upper bound on remembered slots, far above what a worker runs at a time. A cancel that arrives after the job's answer was
#: sent is never discarded, so the oldest are evicted.
MAX_CANCELLED = 16_384


class CancelledSlots:
    """Slots of jobs that are cancelled. The thread that reads the pipe adds, those that run jobs look.

    Needs no lock: each step is one operation on a dict.
    """

    def __init__(self, max_slots: int = MAX_CANCELLED) -> None:
        self._max_slots = max_slots
        self._slots: dict[int, None] = {}

    def __bool__(self) -> bool:
        return bool(self._slots)

    def __contains__(self, slot: int) -> bool:
        return slot in self._slots

    def add(self, slots: Iterable[int]) -> None:
        for slot in slots:
            self._slots[slot] = None
        while len(self._slots) > self._max_slots:
            del self._slots[next(iter(self._slots))]

    def discard(self, slot: int) -> None:
        """Forget a slot whose job has stopped."""
        self._slots.pop(slot, None)


class WorkerCheckpoint:
    """Stored in the object store by job id and run, so that the next execution finds it on any machine."""

    __slots__ = ("_name", "_store", "used")

    def __init__(self, store: JobFiles, job_id: str, run: int) -> None:
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

    def delete(self) -> None:
        """Delete it, as its job has succeeded. A checkpoint that stays does no harm, so an unreachable store fails no job."""
        try:
            self._store.delete_named(self._name)
        except ConnectionFailed as error:
            log.warning("checkpoint_not_deleted", name=self._name, reason=error.message)


class WorkerJobContext:
    """The context of one job. Creating it costs nothing: its folder and checkpoint are made at their first use."""

    __slots__ = (
        "_cancelled",
        "_checkpoint",
        "_closed",
        "_folder",
        "_reports",
        "_root",
        "_streamed",
        "files",
        "header",
        "saved",
        "slot",
        "soft_deadline",
    )

    def __init__(
        self,
        store: JobFiles,
        root: Path,
        reports: Reports,
        soft_deadline: float | None,
        *,
        slot: int,
        cancelled: CancelledSlots,
        header: JobHeader,
        folder: Path | None = None,
    ) -> None:
        self.files = store
        self._root = root
        self._reports = reports
        self.slot = slot
        self._cancelled = cancelled
        self.header = header
        self._checkpoint: WorkerCheckpoint | None = None
        self._folder = folder
        self._streamed = self._closed = False
        self.soft_deadline = soft_deadline
        #: Claims of the files that the job saved; the result carries them as `output_refs`.
        self.saved: list[Claim] = []

    def open(self, claim: Claim) -> Path:
        return self.files.fetch(claim, self.scratch())

    def save(self, path: Path, content_type: str) -> Claim:
        claim = self.files.put_file(path, content_type)
        self.saved.append(claim)
        return claim

    def scratch(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="job-", dir=self._root))
        return self._folder

    def progress(self, stage: str, percent: float | None = None, message: str = "") -> None:
        self._reports.progress(self.slot, stage, percent, message)

    def stream_text(self, text: str) -> None:
        if text and not self._closed:  # a thread of the processor may outlive its job
            self._streamed = True
            self._reports.text(self.slot, text)

    def restart_text(self) -> None:
        """Begin the text again: the job's batch failed, and the job runs in a smaller one."""
        if self._streamed:
            self._reports.text(self.slot, "", restart=True)

    @property
    def checkpoint(self) -> WorkerCheckpoint:
        if self._checkpoint is None:
            self._checkpoint = WorkerCheckpoint(self.files, self.header.job_id, self.header.run)
        return self._checkpoint

    def delete_checkpoint(self) -> None:
        """Delete the job's checkpoint if there is one: no execution will continue from it."""
        if self._checkpoint is not None and self._checkpoint.used:
            self._checkpoint.delete()

    def cancelled(self) -> bool:
        return self.stop_reason() is not None

    def stop_reason(self) -> JobError | None:
        """Return the error with which the job ends if it stops now; None while it may go on."""
        if self.slot in self._cancelled:
            return JobCancelled("The job was cancelled.")
        deadline = self.header.deadline
        if deadline is not None and datetime.now(UTC) >= deadline:
            return DeadlineExceeded("The deadline passed while the job ran, and it stopped.")
        if self.soft_deadline is not None and time.monotonic() >= self.soft_deadline:
            return JobTimeout("The job's soft limit passed, and it stopped.")
        return None

    def hand_on(self) -> None:
        """Leave the job to the helper process that has prepared it: ignore further text."""
        self._closed = True

    def close(self) -> None:
        """Remove the job's folder, and ignore further text."""
        self._closed = True
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
