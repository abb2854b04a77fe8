"""What a processor is: four methods, called in a child process of the worker.

    load     once, before the first job: weights, warm-up. Loud on failure.
    prepare  CPU, per job: fetch and decode the input into what the device takes.
    run      device, per batch: same order in and out, one outcome per item.
    finish   CPU, per job: turn the raw output into the typed result, save files.

An exception from `prepare` or `finish` is that job's alone. One from `run` is the batch's: the engine bisects it until the
bad job stands alone; return a `JobError` in an item's place when the batch can say itself which item is bad.

Three more methods a processor may have; the engine asks for each by its name:

    warm_up  once per process, after `load` and before any job: what makes the first job slow. Loud on failure.
    cost     `cost(item) -> float`, of what `prepare` gave: pixels, tokens, seconds of audio. A batch costs no more than
             `Batch.max_cost` together; an item that is dearer runs alone.
    bucket   `bucket(item) -> Hashable`: only items of one bucket run together, e.g. those of one shape. Keep the kinds few:
             what has run out of memory is remembered for each.

An exception from `cost` or `bucket` is that job's alone, as one from `prepare`.

Versions side by side: each is a class with the same `name` and its own `version`, under the entry points `<name>` and
`<name>@<label>`. SLUICE_ROLLOUT says which are loaded, and which share of the jobs each gets. `threads`, `lanes`, `in_flight`,
`order` and custody are the default version's; batches, limits and retries each version's own.

`run` is given no context. Where a batch takes long enough to be worth stopping, let `prepare` put the job's context into the
item it returns: `run` asks `item.ctx.cancelled()` between its steps and returns a `JobCancelled` in that item's place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from processors.policy import Policy
from schemas.errors import JobError
from schemas.records import Claim, JobHeader

I_ = TypeVar("I_")
T = TypeVar("T")
R = TypeVar("R")
O_ = TypeVar("O_")
I_co = TypeVar("I_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Job(Generic[I_co]):
    """One unit of work: the header every job has, and this processor's typed input."""

    header: JobHeader
    input: I_co


class LoadContext(Protocol):
    """Given to `load`."""

    #: "cpu" or "cuda:N": a device on which a kernel has really run.
    device: str

    def weights(self, name: str, sha256: str) -> Path:
        """The file of weights called `name`, after its sha256 was compared.

        Looked for in the folder given by SLUICE_WEIGHTS_DIR, else beside the processor's own module (`weights/`).
        Raises ModelNotFound when it is missing or altered.
        """
        ...


class Checkpoint(Protocol):
    """One small blob that outlives the process: a job that runs again, after a death or as another attempt, goes on from it."""

    def get(self) -> bytes | None:
        """What the last `put` of this job and run kept; None if there was none. Raises ConnectionFailed."""
        ...

    def put(self, data: bytes) -> None:
        """Keep this in the place of the last one, 1 MiB at most. Gone once the job has succeeded. Raises PayloadTooLarge,
        ConnectionFailed."""
        ...


class JobContext(Protocol):
    """Given to `prepare` and `finish`: everything outside the process that a job may touch."""

    def open(self, claim: Claim) -> Path:
        """A local file with the claim's bytes, size and sha256 compared. Raises ClaimMismatch, ConnectionFailed."""
        ...

    def save(self, path: Path, content_type: str) -> Claim:
        """Store a file under its content's hash and return the claim for it. Raises ConnectionFailed."""
        ...

    def scratch(self) -> Path:
        """An empty folder of this job's own, removed when the job is done."""
        ...

    def progress(self, stage: str, percent: float | None = None, message: str = "") -> None:
        """Tell how far the job is; at most two a second are published, the last one wins."""
        ...

    @property
    def checkpoint(self) -> Checkpoint:
        """Where long work keeps how far it is."""
        ...

    @property
    def soft_deadline(self) -> float | None:
        """When the job is told to stop by itself, on the clock of `time.monotonic`: its soft limit. None: never."""
        ...

    def cancelled(self) -> bool:
        """True once this job is to stop: somebody cancelled it, or its soft limit or its deadline has passed.

        Long work looks now and then and raises JobCancelled; the engine knows which of the three it was and names it in the
        result. A job that goes on although it was cancelled loses its process after `Limits.cancel_grace_ms`; one that
        is done before keeps its success.
        """
        ...


@runtime_checkable
class Processor(Protocol[I_, T, R, O_]):
    """See the module's docstring. `version` is the model's; it travels in every result as `model_version`."""

    name: str
    version: str
    request: type[I_]
    result: type[O_]
    policy: Policy
    #: sha256 of the weights in use, "" for a processor without any; set by `load`.
    model_sha256: str

    def load(self, ctx: LoadContext) -> None: ...

    def prepare(self, job: Job[I_], ctx: JobContext) -> T: ...

    def run(self, items: Sequence[T]) -> Sequence[R | JobError]: ...

    def finish(self, job: Job[I_], raw: R, ctx: JobContext) -> O_: ...


AnyProcessor = Processor[Any, Any, Any, Any]
