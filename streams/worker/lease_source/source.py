"""Jobs that are claimed by lease: minutes to hours, any idle device takes the next one.

A batch is claimed when nothing is in flight: no job waits behind another while a device elsewhere is idle. Two threads of its
own: the claimer waits for jobs at the store, the keeper renews their leases.

Nothing is published under a lease that may have expired. A worker that was asleep (a suspended machine, a stopped process)
wakes up with a result and does not know that another worker has the job by now. So before a result is published the lease must
surely be ours, else the store is asked first; the result of a lost job is discarded. The sink detects what slips through
between that check and the log, by its execution.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from connectors.lease_store import Grant, WorkerLeases
from streams import logs
from streams.health.loop_threads import LoopThreads
from streams.settings import Settings
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob, JobState
from streams.worker.lease_source.claimer import WAIT_S, ClaimedGrants, Claimer
from streams.worker.lease_source.held import HeldLease, HeldLeases
from streams.worker.lease_source.keeper import LeaseKeeper
from streams.worker.protocol import Answer, ChildConfig
from streams.worker.supervision.supervisor import Supervisor

log = logs.get("worker")

STOP_S = 5.0


class LeaseSource:
    """`ready` is the child's READY message; `open_store` makes a store for one thread, and is called twice.
    `claim_wait_s`: how long one claim waits for a job."""

    def __init__(
        self,
        settings: Settings,
        config: ChildConfig,
        ready: Mapping[str, Any],
        in_flight: InFlightJobs,
        supervisor: Supervisor,
        open_store: Callable[[], WorkerLeases],
        threads: LoopThreads,
        *,
        claim_wait_s: float = WAIT_S,
    ) -> None:
        processor, worker_id = config.processor, config.worker_id
        self._names = settings.topics
        self._in_flight = in_flight
        self._supervisor = supervisor
        self._batch, self._lease_s = int(ready["batch"]), float(ready["lease_s"])
        self._leases = HeldLeases()
        self._keeper = LeaseKeeper(open_store(), self._leases, worker_id, processor, self._lease_s, threads)
        store, lease_s, executions = open_store(), self._lease_s, int(ready["executions"])

        def claim(count: int, wait_s: float) -> list[Grant]:
            return store.claim(processor, worker_id, count, lease_s, executions=executions, wait_s=wait_s)

        self._claimer = Claimer(claim, store.close, processor, threads, claim_wait_s)
        self._restarts = 0
        self._received = 0

    def start(self) -> None:
        self._keeper.start()
        self._claimer.start()

    def poll(self, timeout_s: float, *, jobs_wait: bool) -> list[InFlightJob]:
        busy = len(self._in_flight) > 0
        self._claimer.ask(0 if busy else min(self._batch, self._in_flight.at_most or self._batch))
        if busy:
            self._in_flight.wait_until_empty(timeout_s)
        return self._admit(self._claimer.take(0 if busy else timeout_s))

    def keep_alive(self) -> list[InFlightJob]:
        return []  # the keeper does it

    def pause(self, timeout_s: float) -> list[InFlightJob]:
        # The store grants no jobs of a paused processor; asking for none makes it true from now on. The last claim may have
        # found some before.
        self._claimer.ask(0)
        return self._admit(self._claimer.take(timeout_s))

    def dispatch(self, jobs: list[InFlightJob]) -> None:
        self._supervisor.send(jobs)

    def release(self, jobs: Sequence[InFlightJob]) -> None:
        slots = [job.slot for job in jobs]
        self._supervisor.disown(slots)  # not release: they are free at once, so what has begun meanwhile must stop
        self._in_flight.release(slots)
        self._release_claimed()

    def may_publish(self, job: InFlightJob, answer: Answer) -> bool | None:
        lease = job.origin
        assert isinstance(lease, HeldLease)
        if answer.postponed:  # the job was not run, so another worker must look at it again
            return self._discard(lease, "it was not run")
        if lease.lost:
            return self._discard(lease, "its lease was lost")
        if lease.is_sure(time.monotonic()):
            return True
        self._keeper.renew_now()
        return None

    def tick(self, now: float) -> None:
        if (
            self._supervisor.restarts != self._restarts
        ):  # tell the store of crashes, in case this worker is lost as well
            self._restarts = self._supervisor.restarts
            self._keeper.renew_now()
        self._stop_jobs("lease_lost", self._keeper.lost)
        self._stop_jobs("cancelled", self._keeper.cancelled)
        for fault in (self._keeper.fault, self._claimer.fault):
            if fault is not None:
                raise fault

    def why_not_ready(self) -> str | None:
        return self._claimer.store_fault or self._keeper.store_fault

    def status(self) -> dict[str, Any]:
        return {"custody": "lease", "received": self._received, "store_fault": self.why_not_ready()}

    def close(self) -> None:
        with ExitStack() as stack:
            stack.callback(self._keeper.stop, STOP_S)
            self._release_claimed()
            self._in_flight.release([job.slot for job in self._in_flight.with_child()])
            self._in_flight.wait_until_empty(STOP_S)

    def _admit(self, found: Iterable[ClaimedGrants]) -> list[InFlightJob]:
        leases = [
            HeldLease(grant, claimed.asked_at + self._lease_s, self._names, self._keeper.settle, self._release)
            for claimed in found
            for grant in claimed.grants
        ]
        if not leases:
            return []
        self._leases.add(leases)
        self._received += len(leases)
        return self._in_flight.admit([lease.job for lease in leases])

    def _stop_jobs(self, event: str, leases: deque[HeldLease]) -> None:
        """Cancel jobs in the child, which kills it if it does not listen. `may_publish` discards what comes of a lost one."""
        while leases:
            lease = leases.popleft()
            if self._in_flight.get(lease.job.slot) is lease.job:
                log.info(event, job_id=lease.grant.job_id, run=lease.grant.run, fence=lease.grant.fence)
                self._supervisor.cancel([lease.job.slot])

    def _release(self, lease: HeldLease) -> None:
        self._leases.remove(lease)
        if not lease.lost:
            self._keeper.release(lease.grant, started=lease.job.state is JobState.RUNNING)

    def _release_claimed(self) -> None:
        """Claim nothing more, and release what was claimed and never admitted."""
        for claimed in self._claimer.stop(STOP_S):
            for grant in claimed.grants:
                self._keeper.release(grant, started=False)

    def _discard(self, lease: HeldLease, reason: str) -> bool:
        log.warning("result_discarded", job_id=lease.grant.job_id, run=lease.grant.run, reason=reason)
        self._in_flight.disown([lease])
        self._leases.remove(lease)
        return False
