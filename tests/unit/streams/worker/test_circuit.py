"""A worker that fails job after job alike stops to test itself; bad jobs do not stop a healthy one."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from schemas.errors import ErrorCode
from schemas.states import Disposition
from streams.worker.circuit import ALIKE, LONGEST_PAUSE_S, MOST_ALIKE, CircuitState, WorkerCircuit
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import JobOrigin, JobState
from streams.worker.protocol import Answer
from tests.harness.jobs import new_job

BUG = f"{ErrorCode.PROCESSOR_ERROR} RuntimeError"


class Answered:
    """A circuit with jobs that end as the test says."""

    def __init__(self) -> None:
        self.in_flight = InFlightJobs()
        self.circuit = WorkerCircuit("echo", self.in_flight)
        self._origin = JobOrigin("requests.echo", 0, 0)
        self._offset = 0

    def answer(self, failure: str | None) -> bool:
        """A job succeeds (None), fails by its own input (""), or otherwise. Returns whether its answer is published."""
        self._offset += 1
        (job,) = self.in_flight.admit([new_job(self._origin, self._offset, value=b"%d" % self._offset)])
        disposition = Disposition.SUCCEEDED if failure is None else Disposition.FAILED
        published = self.circuit.permits(
            job, Answer(job.slot, 1, disposition, "job", 0, 1, b"x", failure=failure or "")
        )
        if published:
            self.in_flight.release([job.slot])
        return published

    def state(self) -> CircuitState:
        return self.circuit.state

    def published(self, failures: Iterable[str | None]) -> int:
        return sum(self.answer(failure) for failure in failures)


def limit(answered: Answered) -> int | None:
    return answered.in_flight.at_most


@pytest.fixture
def answered() -> Answered:
    return Answered()


def test_after_some_failures_alike_the_next_are_withheld_until_the_test_has_ended(answered: Answered) -> None:
    assert answered.published([None] + [BUG] * 8) == ALIKE
    assert answered.state() == CircuitState.TESTING
    assert {job.state for job in answered.in_flight.set_aside()} == {JobState.HELD}, (
        "the child does not have them any more"
    )
    assert answered.circuit.take_withheld() == []
    answered.circuit.tested(None)
    assert answered.state() == CircuitState.CLOSED
    assert len(answered.circuit.take_withheld()) == 9 - ALIKE
    assert answered.circuit.good == b"1"


def test_a_test_that_fails_opens_the_circuit_and_what_fails_then_is_given_up(answered: Answered) -> None:
    answered.published([BUG] * ALIKE)
    answered.circuit.tested(BUG)
    assert answered.state() == CircuitState.OPEN
    assert "so did its self-test" in str(answered.circuit.status()["reason"])
    held = len(answered.in_flight)
    assert not answered.answer(BUG)
    assert len(answered.in_flight) == held, "its job is another worker's now"
    assert answered.circuit.take_withheld() == []
    assert answered.answer(None), "what succeeds is published all the same"


def test_a_success_proves_more_than_a_test(answered: Answered) -> None:
    answered.published([BUG] * ALIKE)
    answered.answer(None)
    assert answered.state() == CircuitState.CLOSED
    answered.circuit.tested(BUG)
    assert answered.state() == CircuitState.CLOSED


@pytest.mark.parametrize(
    "endings",
    [
        [""] * 100,
        [BUG, None] * 50,
        [BUG, f"{ErrorCode.PROCESSOR_ERROR} KeyError"] * 50,
        ([BUG] * (ALIKE - 1) + [None]) * 20,
    ],
)
def test_failures_of_the_input_and_failures_unlike_stop_no_worker(
    answered: Answered, endings: list[str | None]
) -> None:
    assert answered.published(endings) == len(endings)
    assert answered.state() == CircuitState.CLOSED


def test_a_flood_of_bad_jobs_costs_a_healthy_worker_a_test_in_twenty(answered: Answered) -> None:
    answered.answer(None)
    tests = 0
    for _ in range(1000):
        answered.answer(BUG)
        if answered.circuit.is_testing:
            tests += 1
            answered.circuit.tested(None)
            answered.circuit.take_withheld()
    assert answered.state() == CircuitState.CLOSED
    assert 1000 // MOST_ALIKE <= tests <= 1000 // MOST_ALIKE + 3


@pytest.mark.parametrize(
    "failure", ["", f"{ErrorCode.NOT_FOUND} NotFound", f"{ErrorCode.CONNECTION_ERROR} ConnectionFailed"]
)
def test_an_input_that_can_not_be_read_any_more_proves_nothing(answered: Answered, failure: str) -> None:
    answered.published([None] + [BUG] * ALIKE)
    answered.circuit.tested(failure)
    assert answered.state() == CircuitState.CLOSED
    assert answered.circuit.good is None


def test_a_dependency_that_fails_the_test_as_it_failed_the_jobs_opens_the_circuit(answered: Answered) -> None:
    away = f"{ErrorCode.CONNECTION_ERROR} ConnectionFailed"
    answered.published([None] + [away] * ALIKE)
    answered.circuit.tested(away)
    assert answered.state() == CircuitState.OPEN


def test_probing_takes_few_jobs_and_ends_with_the_first_that_tells(answered: Answered) -> None:
    answered.circuit.open("broken")
    answered.circuit.probe(1)
    assert limit(answered) == 1
    assert answered.answer(""), "says nothing"
    assert answered.state() == CircuitState.PROBING
    assert answered.answer(BUG), "published, or a bad job would come back for ever"
    assert answered.state() == CircuitState.OPEN
    assert limit(answered) is None
    answered.circuit.probe(1)
    answered.answer(None)
    assert answered.circuit.status() | {"since": ""} == {
        "state": "closed",
        "since": "",
        "reason": None,
        "failures": 0,
        "opened": 2,
    }


def test_pauses_grow_until_a_job_succeeds(answered: Answered) -> None:
    pauses = [answered.circuit.next_pause_s() for _ in range(8)]
    assert pauses == [1, 2, 4, 8, 16, 32, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    answered.answer(None)
    assert answered.circuit.next_pause_s() == 1
    answered.circuit.next_pause_s()
    answered.circuit.probe(MOST_ALIKE)
    assert answered.circuit.next_pause_s() == 1, "no other worker is better off"
