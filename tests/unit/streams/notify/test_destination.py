"""Tries that count against a destination as a whole, and tries that do not."""

from __future__ import annotations

import pytest

from connectors.callbacks.breaker import Breaker, Circuit
from connectors.callbacks.delivery_try import DeliveryTry, TryResult
from streams.notify.destination import Destination


def circuit_after(tried: DeliveryTry) -> Circuit:
    """Return the state of a breaker, which opens at the first failure, after one try."""
    destination = Destination(Breaker(lambda: 0.0, threshold=1))
    assert destination.breaker.acquire()
    destination.update_breaker(tried)
    return destination.breaker.state


@pytest.mark.parametrize(
    ("status", "fails"),
    [
        (None, True),
        (500, True),
        (503, True),
        (429, True),
        (408, True),
        (425, False),
        (404, False),
        (401, False),
        (302, False),
    ],
)
def test_only_a_failure_of_the_whole_destination_counts_against_it(status: int | None, fails: bool) -> None:
    state = circuit_after(DeliveryTry(status, 1.0, "x", TryResult.RETRY))
    assert state is (Circuit.OPEN if fails else Circuit.CLOSED)


def test_a_delivered_or_refused_try_does_not_count_against_the_destination() -> None:
    assert circuit_after(DeliveryTry(200, 1.0, None, TryResult.DELIVERED)) is Circuit.CLOSED
    assert circuit_after(DeliveryTry(None, 1.0, "x", TryResult.REFUSED)) is Circuit.CLOSED
