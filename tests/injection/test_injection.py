"""An exception at, or a kill before or after, every call that a service makes to the outside: each job still has one outcome.

Every point is struck once or twice, and some pairs, chosen by SLUICE_INJECTION_SEED. `make injection` sets
SLUICE_INJECTION=all: every kind, at several calls of each point, and thousands of pairs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache

import pytest

from tests.injection.cases import run_case
from tests.injection.injector import CallSite, Fault
from tests.injection.plans import pairs, points, singles
from tests.injection.services import BUILD

EVERY = os.environ.get("SLUICE_INJECTION") == "all"
SEED = int(os.environ.get("SLUICE_INJECTION_SEED", "1"))
PAIRS = 400 if EVERY else 8
LEAST_POINTS = 150

pytestmark = pytest.mark.usefixtures("simulation")


@cache
def calls() -> Mapping[CallSite, int]:
    """Return how often each call is made in a run without a fault. The sink's include those of its own notifier."""
    apart, inline = run_case(), run_case(inline=True)
    assert apart.findings == inline.findings == []
    return {**apart.calls, **{site: count for site, count in inline.calls.items() if site.service == "sink"}}


def test_there_are_enough_points_and_nothing_is_found_without_a_fault() -> None:
    by_service = {service: len(points(calls(), service)) for service in BUILD}
    print(f"injection points: {sum(by_service.values())} {by_service}")
    assert sum(by_service.values()) >= LEAST_POINTS


@pytest.mark.parametrize("service", BUILD)
def test_one_fault_at_every_point_loses_doubles_and_hides_nothing(service: str) -> None:
    strike(service, ((fault,) for fault in singles(calls(), service, every=EVERY, seed=SEED)))


@pytest.mark.parametrize("service", BUILD)
def test_two_faults_lose_double_and_hide_nothing(service: str) -> None:
    strike(service, pairs(calls(), service, count=PAIRS, seed=SEED))


def strike(service: str, plans: Iterable[tuple[Fault, ...]]) -> None:
    results = [run_case(*plan, inline=service == "sink") for plan in plans]
    wrong = [result for result in results if result.findings]
    print(
        f"{service}: {len(results)} cases, {sum(len(result.struck) for result in results)} faults, {len(wrong)} wrong"
    )
    if wrong:
        print("\n".join(["the log of the first:", *wrong[0].log]))
    assert not wrong, "\n\n".join(map(str, wrong))
