"""Custody by lease: who may work on a job now, until when, and by which fence. For jobs of minutes to hours.

    waiting ──claim──▶ held ──settle──▶ settled ──(the sink ends the run)──▶ gone
       ▲                │ │
       └──── release ───┘ └── expire: waiting again, one execution further; after too many, given up

The sink makes a run claimable when it stores its request, and forgets it when the run has ended. Each grant has a fence, a
number that only rises: whatever a worker says with a fence that is not the current one is refused, so one that was asleep
while its lease ran out can do no harm. All times are the store's.

Nothing of a database here; the one on Postgres is `postgres/lease_store.py`, and the gateway shows the port over HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from schemas.records import Coordinates

#: How often an attempt's lease may run out, or its process die, before the job is taken for the killer.
EXECUTIONS = 3


class RunKey(NamedTuple):
    """A run: job id (a UUID in canonical form) and number."""

    job_id: str
    run: int


class Hold(NamedTuple):
    """A lease that a worker says it holds. `execution` and `crashes` are the worker's own counts, which rise with each of its
    processes that died under the job; the next worker continues counting from them."""

    job_id: str
    run: int
    fence: int
    execution: int = 1
    crashes: int = 0

    @property
    def key(self) -> RunKey:
        return RunKey(self.job_id, self.run)


@dataclass(frozen=True, slots=True)
class Grant:
    """A job that is this worker's until `expires_at`, if it sends no heartbeat.

    `value` is the request as it came (Avro, Confluent framing), `headers` are its Kafka headers, `coordinates` where it lies
    in the log, if it does. `execution` counts the starts of this attempt; `crashes` are those that ended by a lease running out
    or the death of a process.
    """

    job_id: str
    run: int
    attempt: int
    execution: int
    crashes: int
    fence: int
    processor: str
    lane: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    coordinates: Coordinates | None
    accepted_at: datetime
    expires_at: datetime

    @property
    def hold(self) -> Hold:
        return Hold(self.job_id, self.run, self.fence, self.execution, self.crashes)


@dataclass(frozen=True, slots=True)
class HeartbeatAnswer:
    """`renewed`: held for another lease. `lost`: not this worker's any more; what it made of them counts no more. `cancelled`:
    renewed as well, but somebody asked for them to stop."""

    renewed: frozenset[RunKey] = field(default_factory=frozenset)
    lost: frozenset[RunKey] = field(default_factory=frozenset)
    cancelled: frozenset[RunKey] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Expired:
    """A lease that ran out. `execution` is the one that was lost, `worker` its holder.

    `given_up`: it was the last one; the caller ends the job as WORKER_LOST, and until that has happened it comes again every
    minute. Else it is claimable again. `key`, `value` and `headers` are the request's.
    """

    job_id: str
    run: int
    attempt: int
    execution: int
    processor: str
    worker: str
    given_up: bool
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    coordinates: Coordinates | None


class LeaseStore(Protocol):
    """Used by one thread. Every call raises Unreachable while the store does not answer; what was asked may have happened."""

    def claim(
        self,
        processor: str,
        worker_id: str,
        count: int,
        lease_s: float,
        *,
        executions: int = EXECUTIONS,
        wait_s: float = 0.0,
    ) -> list[Grant]:
        """Take up to `count` jobs for `lease_s` seconds; [] if there are none within `wait_s`.

        No job is granted twice, however many claim at once. The live lane goes first; a bulk job that has waited for ten
        minutes goes as a live one that came then; the oldest first. Left out: runs that have ended, that somebody asked to
        cancel or whose deadline has passed, and all of a paused processor. `executions`: after so many crashes of one attempt
        the job is given up.
        """
        ...

    def heartbeat(self, worker_id: str, holds: Sequence[Hold], lease_s: float) -> HeartbeatAnswer:
        """Renew all of these for `lease_s` seconds from now. Each is in `renewed` or in `lost`.

        A lease that has run out is renewed as well if nobody has noticed yet: it still is nobody else's.
        """
        ...

    def release(self, job_id: str, run: int, fence: int, *, started: bool) -> bool:
        """Give back an unfinished job: claimable at once, ahead of younger ones. `started`: the next start is another
        execution, but no lost one. False if the fence is stale."""
        ...

    def settle(self, job_id: str, run: int, fence: int) -> bool:
        """The delivery of its result is confirmed: the lease neither runs out nor is claimable. False if the fence is stale."""
        ...

    def expire(self, limit: int) -> list[Expired]:
        """Leases that have run out, the oldest first: claimable again, or to be given up. For the one timekeeper."""
        ...

    def close(self) -> None: ...
