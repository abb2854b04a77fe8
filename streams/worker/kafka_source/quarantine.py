"""From the poll to the child: at once, but for jobs that may have killed a worker with everything on it.

A partition whose last owner stopped without a word is treated with care until what may have been in flight then is through:
its jobs are committed as being in flight before the child gets them, so that a killer is counted even if it kills at once. A
job's second execution is like any other. The following ones run alone, since thousands of innocents may have been in flight
twice: only a job that was alone with the host is to blame for its end. One that has had all its executions is not run again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from schemas.errors import ErrorCode
from streams import logs
from streams.worker.in_flight import Assignment, InFlightJob, InFlightJobs
from streams.worker.protocol import Flag

log = logs.get("worker")

#: After so many unclean ends a job runs alone. The last execution that its policy allows is always alone.
ALONE_AFTER = 2
#: After a commit that Kafka did not take.
PAUSE_S = 0.1


class Quarantine:
    """Used from the main thread only. `send` gives jobs to the child."""

    def __init__(self, ledger: InFlightJobs, send: Callable[[Iterable[InFlightJob]], None]) -> None:
        self._ledger = ledger
        self._send = send
        self._waiting: deque[InFlightJob] = deque()  # withheld, in the order they came
        self._careful: set[Assignment] = set()
        self._one_alone = False  # the child may still have a job that is to be alone
        self._not_before = 0.0
        self._executions = ALONE_AFTER + 1

    def limit(self, executions: int) -> None:
        """Before the first job: how many executions the processor's policy allows."""
        self._executions = executions

    def watch(self, owned: Assignment) -> None:
        """A partition was taken over. Only one that was not given back properly is watched."""
        if (owned.tracker.position() or 0) < owned.careful_until:
            self._careful.add(owned)

    def forget(self, given: Sequence[Assignment]) -> None:
        """These are somebody else's now, and what waits of them."""
        self._careful.difference_update(given)
        if self._waiting:
            self._waiting = deque(held for held in self._waiting if held.owned not in given)

    def give(self, jobs: list[InFlightJob]) -> None:
        """These were taken in. While nothing is suspected, the child has them at once."""
        if not self._careful and not self._waiting:
            self._send(jobs)
            return
        self._ledger.withhold(jobs)
        self._waiting.extend(jobs)
        self.step(0.0)

    def step(self, timeout: float) -> bool:
        """Give what may go now; whether something still waits.

        Waits at most `timeout` seconds for the child to have nothing left, where somebody is to be alone with it.
        """
        pause = self._not_before - time.monotonic()
        if self._waiting and pause > 0:
            self._ledger.wait_until_empty(min(pause, timeout))
        elif self._waiting:
            suspect = next((held for held in self._waiting if self._to_be_alone(held)), None)
            if suspect is None and not self._one_alone:
                self._give_all()
            elif self._ledger.wait_until_child_is_empty(timeout):
                self._one_alone = False
                self._give_all() if suspect is None else self._give_alone(suspect)
        return bool(self._waiting)

    def _to_be_alone(self, held: InFlightJob) -> bool:
        if held.flags & Flag.REJECTED:  # it was cancelled while it waited
            return False
        return min(ALONE_AFTER, max(1, self._executions - 1)) <= held.crashes < self._executions

    def _give_all(self) -> None:
        jobs = list(self._waiting)
        self._waiting.clear()
        self._commit_and_send(jobs)
        if self._careful:
            self._careful = self._ledger.not_through(self._careful)

    def _give_alone(self, suspect: InFlightJob) -> None:
        self._waiting.remove(suspect)
        suspect.flags |= Flag.ISOLATED
        self._one_alone = True
        log.warning("suspect_isolated", partition=suspect.owned.partition, offset=suspect.message.offset())
        self._commit_and_send([suspect])

    def _commit_and_send(self, jobs: list[InFlightJob]) -> None:
        begun = self._ledger.begin(jobs)
        if not self._committed({held.owned for held in begun} & self._careful):
            self._ledger.withhold(begun)
            self._waiting.extendleft(reversed(begun))
            self._not_before = time.monotonic() + PAUSE_S
            return
        for held in begun:
            self._sentence(held)
        self._send(begun)

    def _committed(self, owned: set[Assignment]) -> bool:
        """Whether Kafka knows that jobs of these partitions are in flight now. One request for each consumer."""
        requests: dict[Callable[..., bool], list[Assignment]] = {}
        for one in owned:
            requests.setdefault(one.commit_first, []).append(one)
        return all(commit(together) for commit, together in requests.items())

    def _sentence(self, held: InFlightJob) -> None:
        """A job that has had its executions is not run: the child only makes its failure known."""
        if held.flags & Flag.REJECTED or held.crashes < self._executions:
            return
        log.error("host_killer", partition=held.owned.partition, offset=held.message.offset(), executions=held.crashes)
        held.flags |= Flag.REJECTED | Flag.ISOLATED
        if held.crashes > self._executions:  # not even its error_code could be written: reading it kills
            held.flags |= Flag.SKIP_DECODING
        held.execution = self._executions
        held.error_code = ErrorCode.WORKER_LOST.encode()
