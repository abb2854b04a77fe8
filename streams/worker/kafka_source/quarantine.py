"""Passes polled jobs to the child; first holds all of a partition whose last owner stopped uncleanly (docs/adr/0009).

Such a partition is recovered first: until the offsets that may have been in flight then are through, its jobs are committed as
in flight before the child gets them, so that a host killer is counted even if it kills at once.

When a whole worker dies, every job that it had in flight may be to blame, thousands of them. So their second execution runs
like any other; from its second crash on a job runs alone, because only a job that was alone with the host is surely to blame.
With all its executions used up it is not run again. When only the child dies, its parent knows the few jobs that ran, so they
run alone at once (`supervision/supervisor.py`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from streams import logs
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob

if TYPE_CHECKING:
    from streams.worker.kafka_source.assignment import Assignment

log = logs.get("worker")

#: From so many crashes on a job runs alone. The last execution that its policy allows is always alone.
ALONE_AFTER = 2
#: Pause after a commit that failed.
PAUSE_S = 0.1


class Quarantine:
    """Used by the engine's thread only. `send` gives jobs to the child; `executions` is what the processor's policy allows."""

    def __init__(
        self, in_flight: InFlightJobs, send: Callable[[Iterable[InFlightJob]], None], executions: int = ALONE_AFTER + 1
    ) -> None:
        self._in_flight = in_flight
        self._send = send
        self._executions = executions
        self._held: deque[InFlightJob] = deque()  # in the order they came
        self._recovering: set[Assignment] = set()
        self._isolating = False  # the child may still have a job that must be alone
        self._not_before = 0.0

    @property
    def watches(self) -> bool:
        """False while nothing is suspected, so that jobs need not pass here."""
        return bool(self._recovering or self._held)

    def watch(self, assignment: Assignment) -> None:
        """Take note of a new assignment; only one whose last owner stopped uncleanly is watched."""
        if assignment.recovers:
            self._recovering.add(assignment)

    def forget(self, assignments: Sequence[Assignment]) -> None:
        """Forget revoked assignments and their jobs."""
        self._recovering.difference_update(assignments)
        if self._held:
            self._held = deque(job for job in self._held if job.origin not in assignments)

    def dispatch(self, jobs: list[InFlightJob]) -> None:
        """Hold these, then send to the child what is not suspected."""
        self._in_flight.hold(jobs)
        self._held.extend(jobs)
        self.dispatch_held(0.0)

    def dispatch_held(self, timeout: float) -> bool:
        """Send the held jobs that may go now; return whether some are still held.

        Where a job must be alone, wait at most `timeout` seconds for the child to be empty.
        """
        pause = self._not_before - time.monotonic()
        if self._held and pause > 0:
            self._in_flight.wait_until_empty(min(pause, timeout))
        elif self._held:
            suspect = next((job for job in self._held if self._must_be_alone(job)), None)
            if suspect is None and not self._isolating:
                self._send_all()
            elif self._in_flight.wait_until_child_is_empty(timeout):
                self._isolating = False
                self._send_all() if suspect is None else self._send_alone(suspect)
        return bool(self._held)

    def _must_be_alone(self, job: InFlightJob) -> bool:
        if job.rejected:  # cancelled while it was held
            return False
        return min(ALONE_AFTER, max(1, self._executions - 1)) <= job.crashes < self._executions

    def _send_all(self) -> None:
        jobs = list(self._held)
        self._held.clear()
        self._commit_and_send(jobs)
        if self._recovering:
            with self._in_flight.lock:
                self._recovering = {assignment for assignment in self._recovering if assignment.recovers}

    def _send_alone(self, suspect: InFlightJob) -> None:
        self._held.remove(suspect)
        suspect.isolate()
        self._isolating = True
        log.warning("suspect_isolated", partition=suspect.origin.partition, offset=suspect.offset)
        self._commit_and_send([suspect])

    def _commit_and_send(self, jobs: list[InFlightJob]) -> None:
        begun = self._in_flight.begin(jobs)
        origins = {job.origin for job in begun}
        if not self._commit([assignment for assignment in self._recovering if assignment in origins]):
            self._in_flight.hold(begun)
            self._held.extendleft(reversed(begun))
            self._not_before = time.monotonic() + PAUSE_S
            return
        for job in begun:
            self._reject_host_killer(job)
        self._send(begun)

    def _commit(self, assignments: Iterable[Assignment]) -> bool:
        """Commit that jobs of these assignments are in flight, with one request for each consumer; return False on failure."""
        requests: dict[Callable[..., bool], list[Assignment]] = {}
        for assignment in assignments:
            requests.setdefault(assignment.commit_before_dispatch, []).append(assignment)
        return all(commit(together) for commit, together in requests.items())

    def _reject_host_killer(self, job: InFlightJob) -> None:
        """Do not run a job that has used all its executions: the child only encodes its failure."""
        if not job.rejected and job.crashes >= self._executions:
            log.error("host_killer", partition=job.origin.partition, offset=job.offset, crashes=job.crashes)
            job.reject_host_killer(self._executions)
