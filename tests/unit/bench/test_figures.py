"""Latency from the intended time, medians with their spread, and the ratios of the acceptance."""

from __future__ import annotations

import pytest

from bench.compare.figures import BARS, Spread, latency_of, open_loop_latency, ratios, spread
from tests.unit.bench.visits import latency, visit


def test_a_stall_counts_for_every_job_that_was_to_be_sent_during_it() -> None:
    """The client hung for a second after the first job, then all came back at once: from its submit, each took about 1 ms."""
    intended = [number / 100 for number in range(100)]
    arrived = {0: 0.001, **dict.fromkeys(range(1, 100), 1.001)}
    found = open_loop_latency(intended, arrived, gave_up_at=9.0)
    assert found.max_ms == pytest.approx(991)
    assert found.p50_ms == pytest.approx(491)
    assert found.samples == 100
    assert found.lost == 0


def test_a_job_that_never_came_back_has_waited_until_we_gave_up() -> None:
    found = open_loop_latency([0.0, 1.0, 2.0], {0: 0.002, 1: 1.002}, gave_up_at=32.0)
    assert found.lost == 1
    assert found.max_ms == pytest.approx(30_000)
    assert found.p50_ms == pytest.approx(2)


def test_percentiles_are_measured_values() -> None:
    found = latency_of([float(value) for value in range(1, 101)])
    assert (found.p50_ms, found.p95_ms, found.p99_ms, found.max_ms) == (50, 95, 99, 100)


def test_a_latency_of_no_jobs_is_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        latency_of([])


def test_a_spread_has_the_median_and_both_ends() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    with pytest.raises(ValueError, match="no values"):
        spread([])


def test_a_ratio_is_taken_within_a_round_and_its_median_counts() -> None:
    """The machine was half as fast in the second round: both systems were, and the ratio stays."""
    visits = [
        *(visit("sluice", number, rate) for number, rate in ((1, 12_000), (2, 6_000), (3, 13_000))),
        *(visit("celery", number, rate) for number, rate in ((1, 1_000), (2, 500), (3, 1_000))),
    ]
    throughput = ratios(visits)[0]
    assert throughput.spread == Spread(12.0, 12.0, 13.0)
    assert throughput.passed is True


def test_a_round_in_which_one_of_the_two_is_missing_has_no_ratio() -> None:
    visits = [visit("sluice", 1, 5_000), visit("sluice", 2, 9_000), visit("celery", 1, 1_000)]
    throughput = ratios(visits)[0]
    assert throughput.spread == Spread(5.0, 5.0, 5.0)
    assert throughput.passed is False


def test_a_peer_that_was_not_measured_has_neither_passed_nor_missed() -> None:
    found = {ratio.text: ratio for ratio in ratios([visit("sluice", 1, 5_000)])}
    assert found["throughput ÷ awa-pg"].spread is None
    assert found["throughput ÷ awa-pg"].passed is None
    assert found["idle p50, ms"].passed is True
    assert len(found) == len(BARS)


def test_to_be_above_a_peer_is_more_than_to_equal_it() -> None:
    def above_awa(rate: float) -> bool | None:
        found = ratios([visit("sluice", 1, rate), visit("awa", 1, 2_000)])
        return next(ratio.passed for ratio in found if ratio.text == "throughput ÷ awa-pg")

    assert above_awa(2_001) is True
    assert above_awa(2_000) is False


def test_a_latency_passes_below_its_bar() -> None:
    def p99(own: float) -> bool | None:
        mine = visit("sluice", 1, 1, idle=latency(3.0, own))
        other = visit("handwritten", 1, 1, idle=latency(3.0, 10.0))
        return next(ratio.passed for ratio in ratios([mine, other]) if ratio.text.startswith("idle p99"))

    assert p99(12.0) is True
    assert p99(12.1) is False


@pytest.mark.parametrize(
    "wrong",
    [{"rows": 999}, {"callbacks": 999}, {"idle": latency(4, 6, lost=1)}, {"open_loop": latency(4, 6, lost=1)}],
    ids=["a row", "a callback", "idle", "open loop"],
)
def test_a_visit_in_which_something_is_missing_is_not_complete(wrong: dict[str, object]) -> None:
    assert visit("awa", 1, 100).complete
    assert not visit("awa", 1, 100, **wrong).complete
