"""The circuit breaker: when it opens, and when it lets a probe through."""

from __future__ import annotations

from connectors.callbacks.breaker import Breaker, Circuit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def broken(clock: Clock) -> Breaker:
    breaker = Breaker(clock, threshold=3, open_s=10, max_open_s=25)
    for _ in range(3):
        assert breaker.acquire()
        breaker.failed()
    return breaker


def test_a_breaker_opens_after_failures_in_a_row() -> None:
    breaker = broken(Clock())
    assert breaker.state is Circuit.OPEN
    assert not breaker.acquire()
    assert breaker.retry_in_s() == 10


def test_a_success_between_failures_keeps_it_closed() -> None:
    breaker = Breaker(Clock(), threshold=2)
    for _ in range(10):
        breaker.failed()
        breaker.succeeded()
    assert breaker.state is Circuit.CLOSED


def test_half_open_lets_one_probe_through_and_its_success_closes() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now = 10
    states = [breaker.state]
    assert breaker.acquire()
    assert not breaker.acquire()
    breaker.succeeded()
    states.append(breaker.state)
    assert states == [Circuit.HALF_OPEN, Circuit.CLOSED]
    assert all(breaker.acquire() for _ in range(3))


def test_each_failed_probe_doubles_the_wait_up_to_a_limit() -> None:
    clock = Clock()
    breaker = broken(clock)
    waits = []
    for _ in range(3):
        clock.now += breaker.retry_in_s()
        assert breaker.acquire()
        breaker.failed()
        waits.append(breaker.retry_in_s())
    assert waits == [20, 25, 25]


def test_a_late_failure_from_before_it_opened_does_not_prolong_it() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now = 5
    breaker.failed()
    assert breaker.retry_in_s() == 5


def test_an_abandoned_probe_lets_the_next_one_through() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now = 10
    assert breaker.acquire()
    breaker.abandoned()
    assert breaker.acquire()
