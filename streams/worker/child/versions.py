"""The versions of a processor that one child has loaded, and which of them a job runs with."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from processors.policy import Batch, Policy
from processors.protocol import AnyProcessor
from processors.rollout import Rollout
from schemas.errors import ModelNotFound, ProcessorBug
from schemas.records import JobHeader
from streams.worker.child.results import ResultWriter


@dataclass(slots=True)
class Model:
    """One version, loaded. `policy` is the processor's, with batches no larger than SLUICE_MAX_BATCH; `writer` says in each
    result that it was this version."""

    processor: AnyProcessor
    policy: Policy
    writer: ResultWriter
    #: The processor's `cost` and `bucket`, where it has them.
    cost: Callable[[Any], float] | None = field(init=False)
    bucket: Callable[[Any], Hashable] | None = field(init=False)

    def __post_init__(self) -> None:
        self.cost = getattr(self.processor, "cost", None)
        self.bucket = getattr(self.processor, "bucket", None)

    @property
    def version(self) -> str:
        return self.processor.version

    @property
    def sorts(self) -> bool:
        """Whether it must be known what a job was prepared to before it is known with which others it runs."""
        return self.cost is not None or self.bucket is not None

    def place(self, item: Any) -> tuple[tuple[str, Hashable], float]:
        """The bucket and the cost of a prepared item. Raises what the processor raises; ProcessorBug for what can't be used."""
        bucket = None if self.bucket is None else self.bucket(item)
        hash(bucket)
        cost = 0.0 if self.cost is None else float(self.cost(item))
        if not 0 <= cost < inf:
            raise ProcessorBug(f"cost() gave {cost}; it owes a finite number, 0 or more.")
        return (self.version, bucket), cost


class ModelVersions:
    """`rollout` None: the one version there is, for every job."""

    def __init__(self, models: Sequence[Model], rollout: Rollout | None = None) -> None:
        self._by_version = {model.version: model for model in models}
        self.default = models[0] if rollout is None else self._by_version[rollout.default]
        self._rollout = rollout if rollout is not None and rollout.canaries else None
        self.largest_batch = max(model.policy.batch.max_size for model in models)
        #: Whether jobs are prepared before they are put together.
        self.sort = len(self._by_version) > 1 or any(model.sorts for model in models)

    @property
    def shares(self) -> dict[str, float]:
        """The per cent of jobs that each version gets, the default first."""
        return self._rollout.shares if self._rollout else {self.default.version: 100.0}

    def of(self, header: JobHeader) -> Model:
        """The version that this job is pinned to, else its share of the rollout. Raises ModelNotFound."""
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

    def batch_of(self, bucket: Hashable) -> Batch:
        """The batching policy of a bucket that `Model.place` named; the default's for None."""
        model = self._by_version[bucket[0]] if isinstance(bucket, tuple) else self.default
        return model.policy.batch


def capped(policy: Policy, max_batch: int | None) -> Policy:
    """`policy` with batches no larger than `max_batch`."""
    if max_batch is None or max_batch >= policy.batch.max_size:
        return policy
    return replace(policy, batch=replace(policy.batch, max_size=max_batch))
