"""Ordered jobs wait for each other in the parent, and are tried again in their place."""

from __future__ import annotations

import time
from collections.abc import Iterable

from confluent_kafka import Message

from processors.policy import Order
from schemas.states import Disposition
from streams.worker.in_flight import Assignment, InFlightJob, InFlightJobs
from streams.worker.ordering import OrderedJobs
from streams.worker.protocol import Answer, Flag
from streams.worker.supervision.limits import ProgressUpdate

NOW = time.monotonic()
LATER = NOW + 3600


class Row:
    """A ledger and its turns, with the jobs that came."""

    def __init__(self, order: Order = Order.KEY) -> None:
        self.ledger = InFlightJobs(100)
        self.said: list[ProgressUpdate] = []
        self.turns = OrderedJobs(order, self.ledger, self.said.append)
        self.owned = Assignment("requests.echo", 0, 0)
        self._offset = 100

    def come(
        self, keys: Iterable[str | None], owned: Assignment | None = None, *, error_code: bool = False
    ) -> tuple[list[InFlightJob], list[InFlightJob]]:
        """All that were admitted, and those of them that may run."""
        arrivals = []
        for key in keys:
            message = Message(
                topic="requests.echo", partition=0, offset=self._offset, key=None if key is None else key.encode()
            )
            arrivals.append((message, owned or self.owned))
            self._offset += 1
        held = self.ledger.admit(arrivals, 7)
        for one in held:
            one.flags = Flag.REJECTED if error_code else 0
        return held, self.turns.admit(held)

    def end(self, held: InFlightJob) -> None:
        self.ledger.answered(held.slot, 1)
        self.ledger.confirmed([held])

    def fail(self, held: InFlightJob, wait_ms: int = 0, attempt: int = 1) -> bool:
        answer = Answer(held.slot, 1, Disposition.RETRY, "job", 0, attempt, b"x", retry_in_ms=wait_ms)
        return self.turns.keep(answer)


def test_the_next_of_a_key_runs_once_the_result_before_it_is_in_the_log() -> None:
    row = Row()
    (a1, a2, b1), runnable = row.come(["a", "a", "b"])
    assert runnable == [a1, b1]
    assert row.ledger.unanswered() == [a1, b1]
    row.ledger.answered(a1.slot, 1)
    assert row.turns.due(NOW) == []
    row.ledger.confirmed([a1])
    assert row.turns.due(NOW) == [a2]
    assert row.ledger.unanswered() == [a2, b1]


def test_a_partition_in_order_runs_one_at_a_time_whatever_the_keys() -> None:
    row, other = Row(Order.PARTITION), Assignment("requests.echo", 1, 0)
    (first, second), runnable = row.come(["a", None])
    (beside,), also = row.come(["a"], other)
    assert (runnable, also) == ([first], [beside])
    row.end(first)
    assert row.turns.due(NOW) == [second]


def test_jobs_without_a_key_wait_for_nobody() -> None:
    held, runnable = Row().come([None, None])
    assert runnable == held


def test_an_ordered_job_is_tried_again_in_its_place() -> None:
    row = Row()
    (first, second), _ = row.come(["a", "a"])
    assert row.fail(first, wait_ms=60_000)
    assert row.turns.due(time.monotonic()) == []
    assert row.ledger.unanswered() == [], "the child has neither of them"
    assert [(note.slot, note.stage) for note in row.said] == [(first.slot, "retrying")]
    assert row.turns.due(LATER) == [first]
    assert (first.frame().attempt, first.execution) == (2, 1)
    row.end(first)
    assert row.turns.due(LATER) == [second]
    assert second.frame().attempt == 0


def test_a_job_without_a_turn_is_tried_again_by_the_timekeeper() -> None:
    row = Row()
    (free,), _ = row.come([None])
    assert not row.fail(free)
    assert row.turns.due(LATER) == []


def test_a_parked_job_whose_end_is_known_leaves_its_place() -> None:
    row = Row()
    (first, second, third), _ = row.come(["a"] * 3)
    row.turns.withdraw(second)
    row.end(second)
    assert row.turns.due(NOW) == []
    row.end(first)
    assert row.turns.due(NOW) == [third]


def test_a_retry_whose_end_is_known_is_not_run_but_its_key_goes_on_after_it() -> None:
    row = Row()
    (first, second), _ = row.come(["a", "a"])
    row.fail(first, wait_ms=60_000)
    row.turns.withdraw(first)
    assert row.turns.due(LATER) == []
    row.end(first)
    assert row.turns.due(LATER) == [second]


def test_a_job_that_comes_cancelled_waits_for_nobody_and_holds_nobody_up() -> None:
    row = Row()
    (first,), _ = row.come(["a"])
    (called_off,), runnable = row.come(["a"], error_code=True)
    assert runnable == [called_off]
    row.end(called_off)
    (second,), _ = row.come(["a"])
    assert row.turns.due(NOW) == []
    row.end(first)
    assert row.turns.due(NOW) == [second]


def test_what_was_given_back_never_becomes_due() -> None:
    row = Row()
    (first, _), _ = row.come(["a", "a"])
    (again,), _ = row.come(["b"])
    row.fail(again, wait_ms=10)
    row.ledger.answered(first.slot, 1)
    row.ledger.drop([row.owned])
    row.turns.forget([row.owned])
    row.ledger.confirmed([first])
    assert row.turns.due(LATER) == []
    assert row.turns.parked == 0
