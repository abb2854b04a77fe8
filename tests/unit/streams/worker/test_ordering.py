"""Ordered jobs wait for each other in the parent, and are tried again in their place."""

from __future__ import annotations

import time
from collections.abc import Iterable

from processors.policy import Order
from schemas.states import Disposition
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob
from streams.worker.kafka_source.assignment import Assignment
from streams.worker.ordering import OrderedJobs
from streams.worker.protocol import Answer
from streams.worker.supervision.limits import ProgressUpdate
from tests.harness.jobs import done, new_job

NOW = time.monotonic()
LATER = NOW + 3600


class Sequence:
    """The jobs of one partition in order."""

    def __init__(self, order: Order = Order.KEY) -> None:
        self.in_flight = InFlightJobs()
        self.updates: list[ProgressUpdate] = []
        self.ordered = OrderedJobs(order, self.in_flight, self.updates.append)
        self.assignment = Assignment("requests.echo", 0, 0)
        self._offset = 100

    def admit(
        self, keys: Iterable[str | None], assignment: Assignment | None = None, *, cancelled: bool = False
    ) -> tuple[list[InFlightJob], list[InFlightJob]]:
        """Admit a job for each key; return them, and the ones that may run."""
        arrivals = []
        for key in keys:
            encoded = None if key is None else key.encode()
            arrivals.append(new_job(assignment or self.assignment, self._offset, key=encoded))
            self._offset += 1
        jobs = self.in_flight.admit(arrivals)
        if cancelled:
            for job in jobs:
                job.mark_cancelled()
        return jobs, self.ordered.admit(jobs)

    def finish(self, job: InFlightJob) -> None:
        done(self.in_flight, job)

    def fail(self, job: InFlightJob, wait_ms: int = 0, attempt: int = 1) -> bool:
        answer = Answer(job.slot, 1, Disposition.RETRY, "job", 0, attempt, b"x", retry_in_ms=wait_ms)
        return self.ordered.retry_here(job, answer)


def test_the_next_of_a_key_runs_once_the_result_before_it_is_in_the_log() -> None:
    sequence = Sequence()
    (a1, a2, b1), runnable = sequence.admit(["a", "a", "b"])
    assert runnable == [a1, b1]
    assert sequence.in_flight.with_child() == [a1, b1]
    sequence.in_flight.answered(a1.slot, 1)
    assert sequence.ordered.due(NOW) == []
    sequence.in_flight.confirmed([a1])
    assert sequence.ordered.due(NOW) == [a2]
    assert sequence.in_flight.with_child() == [a2, b1]


def test_a_partition_in_order_runs_one_at_a_time_whatever_the_keys() -> None:
    sequence, other = Sequence(Order.PARTITION), Assignment("requests.echo", 1, 0)
    (first, second), runnable = sequence.admit(["a", None])
    (beside,), also = sequence.admit(["a"], other)
    assert (runnable, also) == ([first], [beside])
    sequence.finish(first)
    assert sequence.ordered.due(NOW) == [second]


def test_jobs_without_a_key_wait_for_no_other() -> None:
    jobs, runnable = Sequence().admit([None, None])
    assert runnable == jobs


def test_an_ordered_job_is_tried_again_in_its_place() -> None:
    sequence = Sequence()
    (first, second), _ = sequence.admit(["a", "a"])
    assert sequence.fail(first, wait_ms=60_000)
    assert sequence.ordered.due(time.monotonic()) == []
    assert sequence.in_flight.with_child() == [], "the child has neither of them"
    assert [(update.slot, update.stage) for update in sequence.updates] == [(first.slot, "retrying")]
    assert sequence.ordered.due(LATER) == [first]
    assert (first.frame().attempt, first.execution) == (2, 1)
    sequence.finish(first)
    assert sequence.ordered.due(LATER) == [second]
    assert second.frame().attempt == 0


def test_a_job_without_an_order_key_is_tried_again_by_the_timekeeper() -> None:
    sequence = Sequence()
    (free,), _ = sequence.admit([None])
    assert not sequence.fail(free)
    assert sequence.ordered.due(LATER) == []


def test_a_waiting_job_that_is_withdrawn_leaves_the_sequence() -> None:
    sequence = Sequence()
    (first, second, third), _ = sequence.admit(["a"] * 3)
    sequence.ordered.withdraw(second)
    sequence.finish(second)
    assert sequence.ordered.due(NOW) == []
    sequence.finish(first)
    assert sequence.ordered.due(NOW) == [third]


def test_a_withdrawn_retry_keeps_its_place_until_it_is_answered() -> None:
    sequence = Sequence()
    (first, second), _ = sequence.admit(["a", "a"])
    sequence.fail(first, wait_ms=60_000)
    sequence.ordered.withdraw(first)
    assert sequence.ordered.due(LATER) == []
    sequence.finish(first)
    assert sequence.ordered.due(LATER) == [second]


def test_a_cancelled_arrival_waits_for_no_job_and_holds_none_up() -> None:
    sequence = Sequence()
    (first,), _ = sequence.admit(["a"])
    (cancelled,), runnable = sequence.admit(["a"], cancelled=True)
    assert runnable == [cancelled]
    sequence.finish(cancelled)
    (second,), _ = sequence.admit(["a"])
    assert sequence.ordered.due(NOW) == []
    sequence.finish(first)
    assert sequence.ordered.due(NOW) == [second]


def test_jobs_of_a_revoked_partition_never_become_due() -> None:
    sequence = Sequence()
    (first, _), _ = sequence.admit(["a", "a"])
    (again,), _ = sequence.admit(["b"])
    sequence.fail(again, wait_ms=10)
    sequence.in_flight.answered(first.slot, 1)
    sequence.in_flight.disown([sequence.assignment])
    sequence.ordered.forget([sequence.assignment])
    sequence.in_flight.confirmed([first])
    assert sequence.ordered.due(LATER) == []
    assert sequence.ordered.waiting == 0
