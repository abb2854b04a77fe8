"""The recovery time of a run: from the end of a fault to normal throughput."""

from __future__ import annotations

import math
from dataclasses import replace

from tests.harness.checker.evidence import Evidence, FaultSpan, OutcomeRow
from tests.harness.checker.recovery import Recovery, normal_rate, percentile, recoveries


def _steady(*gap: int, last: int = 60, faults: tuple[FaultSpan, ...]) -> Evidence:
    """Ten outcomes a second, but none in the seconds of `gap`."""
    rows = [
        OutcomeRow(f"job-{n}", 0, "COMPLETED", "x", None, "results.chore", 0, n, s + n / 10)
        for s in range(last)
        if s not in gap
        for n in range(10)
    ]
    return Evidence(outcomes=tuple(rows), faults=faults)


def test_recovery_counts_from_the_end_of_a_fault_to_normal_throughput() -> None:
    fault = FaultSpan(20.0, 25.0, "kill kafka")
    assert recoveries(_steady(*range(20, 31), faults=(fault,)), 60.0) == [Recovery(("kill kafka",), 6.0)]


def test_faults_that_follow_before_recovery_count_as_one() -> None:
    faults = (FaultSpan(20.0, 25.0, "kill kafka"), FaultSpan(27.0, 29.0, "kill sink"))
    (recovery,) = recoveries(_steady(*range(20, 31), faults=faults), 60.0)
    assert recovery == Recovery(("kill kafka", "kill sink"), 2.0)


def test_a_fault_that_leaves_the_throughput_alone_does_not_shorten_the_recovery_from_another() -> None:
    faults = (
        FaultSpan(20.0, 22.0, "kill sink", frozenset({"sink"})),
        FaultSpan(24.0, 30.0, "receiver stall", frozenset({"receiver"})),
    )
    (recovery,) = recoveries(_steady(*range(20, 31), faults=faults), 60.0)
    assert recovery == Recovery(("kill sink", "receiver stall"), 9.0)


def test_a_backlog_that_is_worked_off_makes_up_for_no_second_without_outcomes() -> None:
    fault = FaultSpan(20.0, 25.0, "kill sink")
    steady = _steady(*range(20, 31), faults=(fault,))
    burst = [replace(outcome, decided_at=31.5) for outcome in steady.outcomes if 10.0 <= outcome.decided_at < 20.0]
    assert recoveries(replace(steady, outcomes=(*steady.outcomes, *burst)), 60.0) == [Recovery(("kill sink",), 6.0)]


def test_a_throughput_that_never_comes_back_is_found() -> None:
    fault = FaultSpan(20.0, 25.0, "kill kafka")
    recovered = recoveries(_steady(*range(20, 60), faults=(fault,)), 60.0)
    assert percentile(recovered) == math.inf


def test_a_group_after_which_the_driver_stopped_at_once_is_listed_as_not_measured() -> None:
    faults = (FaultSpan(20.0, 21.0, "kill sink"), FaultSpan(50.0, 52.0, "everything"))
    recovered = recoveries(_steady(*range(50, 60), faults=faults), 60.0)
    assert recovered == [Recovery(("kill sink",), 0.0), Recovery(("everything",), None)]
    assert percentile(recovered) == 0.0


def test_the_normal_rate_is_that_before_the_fault_that_began_first() -> None:
    """Faults are listed by their end, and those that overlap end in another order than they began."""
    evidence = _steady(
        *range(22, 40), faults=(FaultSpan(25.0, 26.0, "cut kafka"), FaultSpan(20.0, 30.0, "freeze sink"))
    )
    assert normal_rate(evidence) == 10.0


def test_the_percentile_is_the_nearest_rank() -> None:
    assert percentile([Recovery((), float(n)) for n in range(1, 21)]) == 19.0
    assert percentile([]) == 0.0
