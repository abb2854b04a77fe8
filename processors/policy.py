"""A processor's policy: batching, order, limits and retries, as data that the engine obeys."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from schemas.errors import ErrorCode
from schemas.states import Custody


class Order(StrEnum):
    """Jobs of one key, or of one partition, run one after the other; with NONE in any order."""

    NONE = "none"
    KEY = "key"
    PARTITION = "partition"


@dataclass(frozen=True, slots=True)
class Batch:
    """When jobs run together. A batch is closed at `max_size` jobs, at `max_cost`, or `max_wait_ms` after its first job, and
    at once while the device is idle. `max_cost` is in the unit of the processor's `cost` (pixels, tokens, seconds of
    audio); a job that costs more runs alone. None: no limit."""

    max_size: int = 1
    max_wait_ms: float = 0.0
    max_cost: float | None = None

    def __post_init__(self) -> None:
        if self.max_size < 1:
            raise ValueError(f"max_size must be at least 1, got {self.max_size}")
        if self.max_wait_ms < 0:
            raise ValueError(f"max_wait_ms must not be negative, got {self.max_wait_ms}")
        if self.max_cost is not None and not self.max_cost > 0:
            raise ValueError(f"max_cost must be above 0, got {self.max_cost}")


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter: the n-th retry waits up to `base_s * factor**(n-1)` seconds, at most `max_s`.
    `max_attempts` may be lower than the job's own number; None leaves it to the job."""

    base_s: float = 1.0
    factor: float = 4.0
    max_s: float = 300.0
    max_attempts: int | None = None

    def __post_init__(self) -> None:
        if self.base_s < 0 or self.factor < 1 or self.max_s < 0:
            raise ValueError(f"a wait can't shrink or be negative: {self}")


@dataclass(frozen=True, slots=True)
class Retry:
    """Retries of errors that may pass. Codes in `never` are final. A Backoff in `by_code` replaces the four numbers here, which
    are the backoff of all other codes. The job's header says how often it is tried; `max_attempts` can only lower that."""

    base_s: float = 1.0
    factor: float = 4.0
    max_s: float = 300.0
    never: frozenset[ErrorCode] = field(default_factory=frozenset)
    by_code: Mapping[ErrorCode, Backoff] = field(default_factory=dict)
    max_attempts: int | None = None

    def backoff(self, code: ErrorCode) -> Backoff | None:
        """Return the backoff for errors with this code; None if they are not retried."""
        if code in self.never:
            return None
        return self.by_code.get(code) or Backoff(self.base_s, self.factor, self.max_s, self.max_attempts)


@dataclass(frozen=True, slots=True)
class Limits:
    """Milliseconds; None means no limit. `soft_ms`: the job is asked to stop. `hard_ms`: its process is killed. `executions`:
    how often its process may die during one attempt before the job is blamed and dead-lettered. `cancel_grace_ms`: time for
    a job to stop after it was cancelled or its deadline passed, before its process is killed."""

    soft_ms: int | None = None
    hard_ms: int | None = None
    executions: int = 3
    cancel_grace_ms: int | None = 5000


@dataclass(frozen=True, slots=True)
class LaneWeights:
    """How the lanes share a worker while both have work: `live` jobs for every `bulk` jobs. A lane alone gets everything."""

    live: int = 8
    bulk: int = 1

    def __post_init__(self) -> None:
        if self.live < 1 or self.bulk < 1:
            raise ValueError(f"a lane's weight must be at least 1, got live {self.live} and bulk {self.bulk}")


@dataclass(frozen=True, slots=True)
class Recycle:
    """When the child is replaced by a new one, between two batches: after this many jobs, or above this much resident memory
    (MiB). None: never."""

    jobs: int | None = None
    memory_mib: int | None = None


@dataclass(frozen=True, slots=True)
class LeasePolicy:
    """For custody by lease. `seconds`: a worker that does not renew its lease for this long loses the job. It renews it
    every third of that time, and at least every 2 s."""

    seconds: float = 30.0


#: A number of threads or processes; "auto": one for each core that this process may use.
Workers = int | Literal["auto"]


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worker_count(workers: Workers) -> int:
    """Return `workers` as a number."""
    return cores() if workers == "auto" else workers


@dataclass(frozen=True, slots=True)
class Policy:
    custody: Custody = Custody.OFFSET
    order: Order = Order.NONE
    batch: Batch = Batch()
    retry: Retry = Retry()
    limits: Limits = Limits()
    lanes: LaneWeights = LaneWeights()
    recycle: Recycle = Recycle()
    lease: LeasePolicy = LeasePolicy()
    #: Most jobs in flight in one worker: polled, running or waiting for their delivery report.
    in_flight: int = 2000
    #: CPU threads that run `prepare` and `finish` beside the device. 0: in the device's own thread (light work).
    threads: Workers = 0
    #: Helper processes that run `prepare` and `finish`, in place of threads: the interpreter that feeds the device then does
    #: nothing else. Each calls `load` with `ctx.helper` set. What `prepare` and `run` return is pickled (docs/adr/0046).
    processes: Workers = 0
    #: The output depends on the input, the weights and the code alone: on no clock, no random number and no other field of the
    #: job. Then a job whose input, weights and code equal those of an earlier success of its tenant gets that output, and
    #: nothing runs. It costs a read of the object store per job and a write per success, so it pays for jobs of 50 ms or more.
    #: Text that the job streams is not streamed again.
    memoize: bool = False

    def __post_init__(self) -> None:
        for name, workers in (("threads", self.threads), ("processes", self.processes)):
            if worker_count(workers) < 0:
                raise ValueError(f"{name} must not be negative, got {workers}")
        if self.threads and self.processes:
            raise ValueError("prepare and finish run in threads or in processes: set one of the two, not both")
