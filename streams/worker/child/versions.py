"""The versions of a processor that the child has loaded, and which of them runs a job."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, Any

from processors.policy import Batch, Policy
from processors.protocol import AnyProcessor
from processors.rollout import Rollout
from schemas.errors import ModelNotFound, ProcessorBug
from schemas.records import JobHeader
from streams.worker.child.results import ResultWriter

if TYPE_CHECKING:
    from streams.worker.child.memo import Memo


@dataclass(slots=True)
class Model:
    """A loaded version. `policy` is the processor's, with batches limited to SLUICE_MAX_BATCH; `writer` names this version in
    each result."""

    processor: AnyProcessor
    policy: Policy
    writer: ResultWriter
    #: Outputs to reuse; None if the processor does not memoize.
    memo: Memo | None = None
    #: The processor's optional methods.
    cost: Callable[[Any], float] | None = field(init=False)
    bucket: Callable[[Any], Hashable] | None = field(init=False)
    warm_up: Callable[[], None] | None = field(init=False)

    def __post_init__(self) -> None:
        self.cost = getattr(self.processor, "cost", None)
        self.bucket = getattr(self.processor, "bucket", None)
        self.warm_up = getattr(self.processor, "warm_up", None)

    @property
    def version(self) -> str:
        return self.processor.version

    @property
    def prepares_first(self) -> bool:
        """True if a job must be prepared before it can be put into a batch: its cost or bucket depends on the prepared item."""
        return self.cost is not None or self.bucket is not None

    def batch_key(self, item: Any) -> tuple[tuple[str, Hashable], float]:
        """Return the batch key and the cost of a prepared item: tasks run together only if their keys are equal.

        Raises what the processor raises, and ProcessorBug for a cost that is not a finite number.
        """
        bucket = None if self.bucket is None else self.bucket(item)
        hash(bucket)
        cost = 0.0 if self.cost is None else float(self.cost(item))
        if not 0 <= cost < inf:
            raise ProcessorBug(f"cost() returned {cost}. Return a finite number, 0 or more.")
        return (self.version, bucket), cost


class ModelVersions:
    """`rollout` is None if there is one version, for every job."""

    def __init__(self, models: Sequence[Model], rollout: Rollout | None = None) -> None:
        self._by_version = {model.version: model for model in models}
        self.default = models[0] if rollout is None else self._by_version[rollout.default]
        self._rollout = rollout if rollout is not None and rollout.canaries else None
        self.largest_batch = max(model.policy.batch.max_size for model in models)
        #: True if jobs are prepared before they are put into batches.
        self.prepares_first = len(self._by_version) > 1 or any(model.prepares_first for model in models)

    def __iter__(self) -> Iterator[Model]:
        return iter(self._by_version.values())

    @property
    def shares(self) -> dict[str, float]:
        """The percentage of jobs that each version gets, the default first."""
        return self._rollout.shares if self._rollout else {self.default.version: 100.0}

    def named(self, version: str) -> Model:
        """Return a loaded version."""
        return self._by_version[version]

    def select(self, header: JobHeader) -> Model:
        """Return the version that the job asks for, else the one that the rollout chooses. Raises ModelNotFound."""
        wanted = header.model_version
        if wanted is None:
            if self._rollout is None:
                return self.default
            return self._by_version[self._rollout.version_of(header.job_id)]
        found = self._by_version.get(wanted)
        if found is None:
            raise ModelNotFound(
                f"The job asks for version {wanted[:60]!r}; this worker has {', '.join(self._by_version)}.",
                next_step="Name one of these, or none, or load that version with SLUICE_ROLLOUT.",
            )
        return found

    def writer_of(self, header: JobHeader) -> ResultWriter:
        """Return the writer of the version that runs a job; the default's if that one is not loaded."""
        try:
            return self.select(header).writer
        except ModelNotFound:
            return self.default.writer

    def batch_policy(self, key: Hashable) -> Batch:
        """Return the batching policy for a key that `Model.batch_key` made; the default version's for None."""
        model = self._by_version[key[0]] if isinstance(key, tuple) else self.default
        return model.policy.batch


def key_name(key: Hashable) -> str:
    """Format a batch key for people: the version, and the processor's bucket if there is one."""
    parts = key if isinstance(key, tuple) else ()
    return "/".join(str(part) for part in parts if part is not None)[:100]


def capped(policy: Policy, max_batch: int | None) -> Policy:
    """Return `policy` with batches no larger than `max_batch`."""
    if max_batch is None or max_batch >= policy.batch.max_size:
        return policy
    return replace(policy, batch=replace(policy.batch, max_size=max_batch))
