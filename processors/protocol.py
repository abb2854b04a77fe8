"""A processor has four methods, which the worker calls in a child process.

    load     once, before the first job: weights, warm-up. Loud on failure.
    prepare  CPU, per job: fetch and decode the input into what the device takes.
    run      device, per batch: same order in and out, one outcome per item.
    finish   CPU, per job: turn the raw output into the typed result, save files.

An exception from `prepare` or `finish` fails that job alone. After one from `run`, the engine halves the batch until the bad
job is alone. If `run` knows which item is bad, it can return a `JobError` in that item's place.

A processor may have three more methods, which the engine finds by their names:

    warm_up  once per process, after `load` and before any job: whatever makes the first job slow. Loud on failure. A worker
             whose jobs fail one after another calls it again: if it raises, the worker is broken, not its jobs.
    cost     `cost(item) -> float` of a prepared item: pixels, tokens, seconds of audio. The items of a batch cost no more than
             `Batch.max_cost` together; an item that costs more runs alone.
    bucket   `bucket(item) -> Hashable`: only items of one bucket run together, e.g. items of one shape. Keep buckets few: the
             engine remembers for each how large a batch fits into memory.

An exception from `cost` or `bucket` fails that job alone, like one from `prepare`.

A processor that needs settings of its own names them in the class attribute `options: tuple[str, ...]`, e.g. `("MODEL_PATH",
"THRESHOLD")`, and reads them in `load` by `ctx.option`. No processor reads the environment itself.

Several versions can run side by side. Each is a class with the same `name` and its own `version`, under the entry points
`<name>` and `<name>@<label>`. SLUICE_ROLLOUT says which are loaded and what share of the jobs each gets. The default version
sets `threads`, `lanes`, `in_flight`, `order` and custody for all; batches, limits and retries are each version's own.

`run` gets no context. If a batch takes long enough to be worth stopping, let `prepare` put the job's context into the item that
it returns: `run` asks `item.ctx.cancelled()` between its steps and returns a `JobCancelled` in that item's place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from processors.policy import Policy
from schemas.errors import JobError
from schemas.records import Claim, JobHeader

#: The group of entry points that lead to processors.
GROUP = "sluice.processors"

I_ = TypeVar("I_")
T = TypeVar("T")
R = TypeVar("R")
O_ = TypeVar("O_")
I_co = TypeVar("I_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Job(Generic[I_co]):
    """A unit of work: its header, and this processor's typed input."""

    header: JobHeader
    input: I_co


class LoadContext(Protocol):
    """Given to `load`."""

    #: "cpu" or "cuda:N": a device on which a kernel has really run.
    device: str
    #: True in a helper process (`Policy.processes`), where `device` is "cpu": `prepare` and `finish` are called there, `run` is
    #: not, so a network need not be loaded.
    helper: bool

    def weights(self, name: str, sha256: str) -> Path:
        """Return the file of weights called `name`, after comparing its sha256.

        It is in the folder SLUICE_WEIGHTS_DIR, else beside the processor's module (`weights/`). Raises ModelNotFound if it is
        missing or altered.
        """
        ...

    def option(self, name: str, default: str = "") -> str:
        """Return a setting of the processor's own, named in its `options`; `default` if it is not set or empty.

        In a worker these are environment variables under exactly these names. Keep a secret out of messages and outputs: the
        engine shows no value anywhere. Raises StartupError for a name that `options` lacks.
        """
        ...


class Checkpoint(Protocol):
    """A small blob that outlives the process: a job that runs again, after a crash or as another attempt, continues from it."""

    def get(self) -> bytes | None:
        """Return what this job and run `put` last; None if nothing. Raises ConnectionFailed."""
        ...

    def put(self, data: bytes) -> None:
        """Replace the checkpoint, 1 MiB at most. It is deleted once the job has succeeded. Raises PayloadTooLarge,
        ConnectionFailed."""
        ...


class JobContext(Protocol):
    """Given to `prepare` and `finish`: everything outside the process that a job may touch."""

    def open(self, claim: Claim) -> Path:
        """Fetch the claim to a local file and compare its size and sha256. Raises ClaimMismatch, ConnectionFailed."""
        ...

    def save(self, path: Path, content_type: str) -> Claim:
        """Store a file under its content's hash and return its claim. Raises ConnectionFailed."""
        ...

    def scratch(self) -> Path:
        """Return this job's own folder, which is removed when the job ends."""
        ...

    def progress(self, stage: str, percent: float | None = None, message: str = "") -> None:
        """Report how far the job is. At most two reports a second are published; the last one wins."""
        ...

    def stream_text(self, text: str) -> None:
        """Publish a piece of generated text as it is made; those who watch the job see it within about 0.1 s.

        Pieces are joined to at most ten records a second, in order; a job may stream a million characters. The text is for
        watching: the whole of it still belongs in the result. Thread-safe.
        """
        ...

    @property
    def checkpoint(self) -> Checkpoint:
        """The place where a long job saves its state."""
        ...

    @property
    def soft_deadline(self) -> float | None:
        """When the job should stop by itself: its soft limit, on the clock of `time.monotonic`. None: never."""
        ...

    def cancelled(self) -> bool:
        """True once this job should stop: it was cancelled, or its soft limit or its deadline has passed.

        A long job checks this now and then and raises JobCancelled; the engine knows which of the three it was and names it in
        the result. If a cancelled job goes on, its process is killed after `Limits.cancel_grace_ms`. If it finishes before
        that, it has succeeded.
        """
        ...


@runtime_checkable
class Processor(Protocol[I_, T, R, O_]):
    """The module's docstring explains the methods. `version` is the model's, and each result names it as `model_version`."""

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
