"""Decides whether this worker, rather than its jobs, is what fails, and then keeps it from failing more of them. Pure.

    CLOSED ──failures alike in a row──▶ TESTING ──the self-test passes, or a job succeeds──▶ CLOSED
                                           │ it fails, or there is nothing to test with
                                           ▼
    CLOSED ◀──a new process passes────── OPEN: the worker has left its group and given up its jobs
                                           │ ▲
                nothing to test with       ▼ │ they fail
                                        PROBING: a job at a time ──one succeeds──▶ CLOSED

While it tests itself the worker takes no jobs, and failures are withheld: published if the test passes, else given up with the
jobs, so that another worker runs them as if nothing had happened. See docs/adr/0020.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from schemas.errors import ErrorCode
from schemas.states import Disposition
from streams import logs
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob
from streams.worker.protocol import Answer

log = logs.get("worker")

#: Failures alike in a row after which a worker doubts itself; twice as many after each test that it passes, up to the second.
ALIKE = 5
MOST_ALIKE = 20
#: Pauses out of the group: doubled each time, until a job succeeds.
SHORTEST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
#: Failures of a test job that say something about the job and nothing about the worker: its file may be gone by now.
UNREADABLE = (ErrorCode.NOT_FOUND, ErrorCode.CONNECTION_ERROR, ErrorCode.UNREACHABLE)


class CircuitState(StrEnum):
    CLOSED = "closed"
    TESTING = "testing"
    OPEN = "open"
    PROBING = "probing"


class WorkerCircuit:
    """`permits` is called by the child's reader thread, everything else by the engine's; any thread may look."""

    def __init__(
        self, processor: str, in_flight: InFlightJobs, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._processor = processor
        self._in_flight = in_flight
        self._now = now
        self._lock = threading.Lock()
        self._since = now()
        self._failure = ""  # code and type of the last failures
        self._failures = 0  # how many of them in a row
        self._limit = ALIKE
        self._withheld: list[Answer] = []
        self._pauses = 0  # since the last job that succeeded
        self._opened = 0
        self.state = CircuitState.CLOSED
        self.reason: str | None = None
        #: The request of the last job that succeeded: a self-test runs it again.
        self.good: bytes | None = None

    def status(self) -> dict[str, Any]:
        """Return the circuit for humans: `failures` alike in a row, `opened` how often the worker has left its group."""
        return {
            "state": self.state.value,
            "since": self._since.isoformat(timespec="seconds"),
            "reason": self.reason,
            "failures": self._failures,
            "opened": self._opened,
        }

    # ── the child's reader thread ──

    def permits(self, job: InFlightJob, answer: Answer) -> bool:
        """Return True if the answer is to be published now. Otherwise it is withheld, or its job has been given up."""
        if not answer.failure:
            if answer.disposition is Disposition.SUCCEEDED:
                self.good = job.value
                if self._failures or self._pauses or self.state is not CircuitState.CLOSED:
                    self._succeeded()
            return True
        with self._lock:
            self._failures = self._failures + 1 if answer.failure == self._failure else 1
            self._failure = answer.failure
            if self.state is CircuitState.OPEN:
                self._in_flight.release([answer.slot])
                return False
            if self.state is CircuitState.PROBING:
                if self._failures >= self._limit:
                    self._open(f"the jobs that it tried failed ({answer.failure})")
                return True
            if self.state is CircuitState.CLOSED and self._failures >= self._limit:
                self._change(CircuitState.TESTING, f"its last {self._failures} jobs failed alike ({self._failure})")
            if self.state is CircuitState.TESTING:
                self._in_flight.hold([job])
                self._withheld.append(answer)
                return False
        return True

    def _succeeded(self) -> None:
        with self._lock:
            self._failures, self._pauses, self._limit = 0, 0, ALIKE
            if self.state in (CircuitState.TESTING, CircuitState.PROBING):
                self._close()

    # ── the engine's thread ──

    @property
    def is_open(self) -> bool:
        return self.state is CircuitState.OPEN

    @property
    def is_testing(self) -> bool:
        """True while the worker takes no jobs because it tests itself."""
        return self.state is CircuitState.TESTING

    def take_withheld(self) -> list[Answer]:
        """Return the answers that may be published after all."""
        if not self._withheld or self.state is not CircuitState.CLOSED:
            return []
        with self._lock:
            withheld, self._withheld = self._withheld, []
        return withheld

    def tested(self, failure: str | None) -> None:
        """Take the outcome of a self-test: None if it passed, "" if its input was refused, else how it failed."""
        with self._lock:
            if self.state is CircuitState.CLOSED:
                return  # a job has succeeded meanwhile
            if failure is not None and (not failure or self._is_unreadable(failure)):
                self.good = None
            elif failure is not None:
                self._open(f"{self.reason}, and so did its self-test ({failure})")
                return
            if self.state is CircuitState.TESTING:
                self._limit = min(MOST_ALIKE, 2 * self._limit)
            self._failures = 0
            self._close()

    def open(self, reason: str) -> None:
        with self._lock:
            self._open(reason)

    def probe(self, jobs: int) -> None:
        """Take jobs again to find out whether they succeed; leave again after so many failures.

        One, if other workers may do better; more, after short pauses, if there is none.
        """
        with self._lock:
            self._pauses = 0 if jobs > 1 else self._pauses
            self._failures, self._limit = 0, jobs
            self._change(CircuitState.PROBING, f"{self.reason}; it has nothing to test itself with, so it tries jobs")

    def next_pause_s(self) -> float:
        """Return how long to stay out of the group."""
        pause_s = min(LONGEST_PAUSE_S, SHORTEST_PAUSE_S * 2.0 ** min(self._pauses, 10))
        self._pauses += 1
        return pause_s

    def _is_unreadable(self, failure: str) -> bool:
        """True if the test job could not be read any more, while the jobs before it failed otherwise."""
        code = failure.partition(" ")[0]
        return code in UNREADABLE and code != self._failure.partition(" ")[0]

    # ── with the lock ──

    def _open(self, reason: str) -> None:
        self._withheld.clear()  # their jobs are given up with all others
        self._limit = ALIKE
        self._opened += self.state is not CircuitState.OPEN
        self._change(CircuitState.OPEN, reason)

    def _close(self) -> None:
        self._change(CircuitState.CLOSED, None)

    def _change(self, state: CircuitState, reason: str | None) -> None:
        if state is not self.state:
            self._since = self._now()
        self.state, self.reason = state, reason
        self._in_flight.at_most = self._limit if state is CircuitState.PROBING else None
        say = log.info if state is CircuitState.CLOSED else log.error if state is CircuitState.OPEN else log.warning
        say(f"circuit_{state.value}", processor=self._processor, reason=reason)
