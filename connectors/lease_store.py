"""Port of custody by lease: which worker may run a job, until when, and with which fence. For jobs of minutes to hours.

    waiting ──claim──▶ held ──settle──▶ settled ──(the sink ends the run)──▶ gone
       ▲                │ │
       └──── release ───┘ └── expire: waiting again, one execution further; after too many, given up

    waiting ──claim(offered)──▶ offered ──the first heartbeat──▶ held; if none comes: waiting again, and nothing is counted

    waiting again, and not claimed since ──resume by the last fence──▶ held

The sink makes a run claimable when it stores its request, and deletes the lease when the run has ended. Each grant has a
fence, a number that only rises: calls with an old fence are refused, so a worker that was suspended while its lease expired
can do no harm. All times are on the store's clock.

An offer is for clients that may only look (gateway/mri_polling): one that is not taken up is no execution and no crash.

Crashes of an attempt are its leases that ran out plus its processes that died (column `losses`); state `lost` means given up.

Implementations: `postgres/lease_store.py`, `memory/lease_store.py`; of WorkerLeases also `gateway_client/leases.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from schemas.records import Coordinates

#: Crashes of one attempt after which the job itself is considered the cause.
EXECUTIONS = 3
#: Seconds after which a worker that neither asked for a job nor renewed a lease no longer counts as alive. An idle worker asks
#: at least every second and is noted every two; a busy one renews its leases every two.
ALIVE_S = 5.0
NOTED_S = 2.0
#: An attempt's executions and crashes are counted up to here. Workers report theirs, and a worker may lie: without a limit its
#: count would leave the range of a column, and the statement that expires leases would fail for all of them.
LARGEST_COUNT = 1_000_000


class RunKey(NamedTuple):
    """A run: the job's id (a UUID in canonical form) and the run's number."""

    job_id: str
    run: int


class Hold(NamedTuple):
    """A lease that a worker says it holds. `execution` and `crashes` are the worker's own counts, which rise with each of its
    processes that died under the job; the next worker continues counting from them. Stores limit both to LARGEST_COUNT."""

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
    """A job that this worker holds until `expires_at`, or longer if it sends heartbeats.

    `value`: the request as it came (Avro in Confluent framing). `headers`: its Kafka headers. `coordinates`: None if
    it is not in the log. `execution` counts the starts of this attempt, `crashes` those that ended with a crash.
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
    """`renewed`: still held, for another lease period. `lost`: no longer held; their results do not count. `cancelled`: those
    of the renewed runs that were requested to be cancelled."""

    renewed: frozenset[RunKey] = field(default_factory=frozenset)
    lost: frozenset[RunKey] = field(default_factory=frozenset)
    cancelled: frozenset[RunKey] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Expired:
    """A lease that expired. `execution`: the one that ended with it. `worker`: its holder.

    `given_up`: it was the last execution; the caller ends the job as WORKER_LOST, and until then the lease is returned again
    every minute. Otherwise the job is claimable again. `offered`: it was only offered, and was not taken up. `key`, `value` and
    `headers` are those of the request.
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
    offered: bool = False


@dataclass(frozen=True, slots=True)
class LeaseView:
    """A lease as it is now, and its request. `state`: waiting, offered, held, settled or lost. `worker`: its last holder.

    `crashes` of at most `executions` have been counted. `renewed_at`: when it was granted or renewed, on the store's clock;
    None if it never was. `expires_at`: None unless it is offered or held, or given up.
    """

    attempt: int
    execution: int
    fence: int | None
    state: str
    worker: str
    processor: str
    lane: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    coordinates: Coordinates | None
    crashes: int = 0
    executions: int = EXECUTIONS
    renewed_at: datetime | None = None
    expires_at: datetime | None = None


class WorkerLeases(Protocol):
    """The calls of a worker. Used by one thread. Every call raises Unreachable while the store does not answer; it may still
    have taken effect. Implemented by each LeaseStore, and over HTTP by `gateway_client/leases.py`."""

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
        """Claim up to `count` jobs for `lease_s` seconds; [] if there are none within `wait_s` seconds.

        No job is granted twice, however many workers claim at once. The live lane goes first, oldest job first; a bulk job
        ranks like a live job that came ten minutes later. A job that has crashed is granted alone. Runs that have ended, were
        cancelled or missed their deadline are left out, as are all jobs of a paused processor. `executions`: crashes of one
        attempt after which the job is given up.
        """
        ...

    def heartbeat(self, worker_id: str, holds: Sequence[Hold], lease_s: float) -> HeartbeatAnswer:
        """Renew these leases for `lease_s` seconds from now. Each run is in `renewed` or in `lost` of the answer.

        The first heartbeat takes up an offer. An expired lease is renewed too if `expire` has not returned it yet: no other
        worker has it.
        """
        ...

    def release(self, job_id: str, run: int, fence: int, *, started: bool) -> bool:
        """Release an unfinished job: claimable at once, ahead of younger ones. `started`: its next start counts as another
        execution, but not as a crash. False if the fence is stale."""
        ...

    def settle(self, job_id: str, run: int, fence: int) -> bool:
        """Record that the result is confirmed in the log: the lease no longer expires. False if the fence is stale."""
        ...

    def close(self) -> None: ...


class LeaseStore(WorkerLeases, Protocol):
    """All calls: also those of the timekeeper (`expire`) and of the gateway, which acts for workers that it does not trust."""

    def claim(
        self,
        processor: str,
        worker_id: str,
        count: int,
        lease_s: float,
        *,
        executions: int = EXECUTIONS,
        wait_s: float = 0.0,
        tenant: str | None = None,
        offered: bool = False,
    ) -> list[Grant]:
        """Claim as a worker does. `tenant`: jobs of this tenant only; None: of all. `offered`: only offer the jobs."""
        ...

    def resume(self, worker_id: str, hold: Hold, lease_s: float) -> bool:
        """Hold a lease again that has expired, if no other worker has claimed it since; its counts stay as they are.

        False if the fence is stale, or the run has ended, was cancelled or missed its deadline. The caller checks whose it is.
        """
        ...

    def expire(self, limit: int) -> list[Expired]:
        """Process expired leases, oldest first: each is claimable again or given up. Called by the leading timekeeper."""
        ...

    def find(self, job_id: str, run: int) -> LeaseView | None:
        """Return a run's lease; None if there is none: nothing was requested, or the run has ended."""
        ...

    def live_workers(self, processor: str) -> frozenset[str]:
        """Return the workers that asked for a job of this processor, or held one, within the last ALIVE_S seconds.

        Of lab machines that wait at a gateway only the first in turn is seen.
        """
        ...

    def wait(self, timeout_s: float) -> frozenset[str]:
        """Wait until jobs may have become claimable; return their processors, none at the timeout. A notice may get lost."""
        ...
