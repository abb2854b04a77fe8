"""The waits of the formulas: against exact results, against a simulation, and against common sense."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from functools import cache
from math import exp, inf, isinf
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from streams.plan.queueing import ServiceTime, Wait, erlang_c, wait_in_own_queue, wait_in_shared_queue

JOBS = 20_000
SERVICES = [
    ServiceTime(0.0, 0.02, 0.0, 1),
    ServiceTime(0.0, 0.02, 1.0, 1),
    ServiceTime(0.008, 0.001, 0.0, 32),
    ServiceTime(0.008, 0.001, 0.5, 32),
    ServiceTime(0.002, 0.002, 0.3, 8),
    ServiceTime(0.03, 0.0003, 0.0, 64),
]
services = some.builds(
    ServiceTime,
    fixed_s=some.floats(0, 1),
    job_s=some.floats(1e-5, 1),
    variation=some.floats(0, 3),
    most=some.integers(1, 128),
)
loads = some.floats(0.01, 0.99)


@dataclass(frozen=True)
class Simulated:
    """Seconds, and `waiting`: the number of waiting jobs, averaged over time."""

    mean_s: float
    p50_s: float
    p99_s: float
    waiting: float


@cache
def simulate(rate: float, service: ServiceTime, devices: int = 1) -> Simulated:
    """Run a queue job by job: Poisson arrivals, first come first served, batches of what waits, gamma distributed times."""
    random, at, arrivals = Random(7), 0.0, []
    for _ in range(JOBS):
        at += random.expovariate(rate)
        arrivals.append(at)
    idle_at, waits, steps, next_ = [0.0] * devices, list[float](), list[tuple[float, int]](), 0
    while next_ < JOBS:
        start, end = max(heapq.heappop(idle_at), arrivals[next_]), next_
        while end < JOBS and end - next_ < service.most and arrivals[end] <= start:
            end += 1
        waits += [start - arrived for arrived in arrivals[next_:end]]
        steps += [*((arrived, 1) for arrived in arrivals[next_:end]), (start, next_ - end)]
        mean, shape = service.batch_s(end - next_), 1 / service.variation**2 if service.variation else inf
        heapq.heappush(idle_at, start + (mean if isinf(shape) else random.gammavariate(shape, mean / shape)))
        next_ = end
    waits.sort()
    return Simulated(sum(waits) / JOBS, waits[JOBS // 2], waits[JOBS * 99 // 100], average_count(steps))


def average_count(steps: list[tuple[float, int]]) -> float:
    """Return the average over time of a count that changes by steps."""
    steps.sort()
    count, before, area = 0, steps[0][0], 0.0
    for at, change in steps:
        area += count * (at - before)
        count, before = count + change, at
    return area / (steps[-1][0] - steps[0][0])


def test_erlang_c_has_the_value_of_the_closed_form_for_two_servers() -> None:
    load = 1.2
    closed = load**2 / (2 * (1 - load / 2)) / (1 + load + load**2 / (2 * (1 - load / 2)))
    assert erlang_c(2, load) == pytest.approx(closed)


def test_one_server_waits_as_pollaczek_and_khinchine_say() -> None:
    rate, service = 30.0, ServiceTime(0.0, 0.02, 0.5)
    exact = rate * 0.02**2 * (1 + 0.5**2) / (2 * (1 - rate * 0.02))
    assert wait_in_shared_queue(rate, service, 1).mean_s == pytest.approx(exact)
    assert wait_in_own_queue(rate, service).mean_s == pytest.approx(exact)


def test_percentiles_of_exponential_times_are_exact() -> None:
    rate, service = 80.0, ServiceTime(0.0, 0.02, 1.0)
    wait = wait_in_shared_queue(rate, service, 2)
    longer = erlang_c(2, 1.6) * exp(-(2 / 0.02 - rate) * wait.p99_s)
    assert longer == pytest.approx(0.01)


@pytest.mark.parametrize("service", SERVICES, ids=str)
@pytest.mark.parametrize("load", [0.4, 0.8])
def test_a_device_with_its_own_queue_waits_as_the_simulation_does(service: ServiceTime, load: float) -> None:
    rate = load * service.jobs_per_s
    wait, seen = wait_in_own_queue(rate, service), simulate(rate, service)
    assert 0.75 < wait.mean_s / seen.mean_s < 1.25
    assert 0.65 < wait.p99_s / seen.p99_s < 1.6
    assert wait.p50_s == pytest.approx(seen.p50_s, rel=0.45, abs=0.15 * service.batch_s(1))


@pytest.mark.parametrize("variation", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("devices", "load"), [(2, 0.6), (8, 0.8)])
def test_devices_with_one_queue_wait_as_the_simulation_does(devices: int, load: float, variation: float) -> None:
    service = ServiceTime(0.0, 0.02, variation)
    rate = load * devices / 0.02
    wait, seen = wait_in_shared_queue(rate, service, devices), simulate(rate, service, devices)
    assert 0.75 < wait.mean_s / seen.mean_s < 1.25
    assert 0.65 < wait.p99_s / seen.p99_s < 1.6


@pytest.mark.parametrize("service", SERVICES, ids=str)
def test_jobs_that_wait_are_rate_times_wait(service: ServiceTime) -> None:
    rate = 0.7 * service.jobs_per_s
    assert simulate(rate, service).waiting == pytest.approx(rate * wait_in_own_queue(rate, service).mean_s, rel=0.25)


@settings(max_examples=40)
@given(service=services, load=loads, less=some.floats(0.1, 0.99))
def test_fewer_jobs_never_wait_longer(service: ServiceTime, load: float, less: float) -> None:
    rate = load * service.jobs_per_s
    assert_no_longer(wait_in_own_queue(rate * less, service), wait_in_own_queue(rate, service))


@settings(max_examples=40)
@given(service=services, devices=some.integers(1, 200), load=loads)
def test_another_device_never_makes_jobs_wait_longer(service: ServiceTime, devices: int, load: float) -> None:
    single = replace(service, most=1)
    rate = load * devices * single.jobs_per_s
    assert_no_longer(wait_in_shared_queue(rate, single, devices + 1), wait_in_shared_queue(rate, single, devices))


@settings(max_examples=40)
@given(service=services, devices=some.integers(1, 50), load=loads)
def test_one_queue_for_all_is_never_slower_than_one_each(service: ServiceTime, devices: int, load: float) -> None:
    single = replace(service, most=1)
    rate = load * devices * single.jobs_per_s
    shared = wait_in_shared_queue(rate, single, devices)
    assert shared.mean_s <= wait_in_own_queue(rate / devices, single).mean_s * (1 + 1e-9)


@settings(max_examples=40)
@given(service=services, load=loads)
def test_percentiles_are_in_order_and_a_longer_job_waits_longer(service: ServiceTime, load: float) -> None:
    rate = load * service.jobs_per_s
    wait = wait_in_own_queue(rate, service)
    assert 0 <= wait.p50_s <= wait.p99_s < inf
    assert 0 < wait.utilisation < 1
    assert_no_longer(wait, wait_in_own_queue(rate, replace(service, job_s=service.job_s * 1.001)))


@settings(max_examples=40)
@given(service=services, over=some.floats(1, 10))
def test_a_device_with_more_jobs_than_it_can_do_makes_them_wait_for_ever(service: ServiceTime, over: float) -> None:
    wait = wait_in_own_queue(over * service.jobs_per_s * 1.000001, service)
    assert wait.utilisation >= 1
    assert wait.mean_s == wait.p50_s == wait.p99_s == inf


def assert_no_longer(shorter: Wait, longer: Wait) -> None:
    for one, other in ((shorter.mean_s, longer.mean_s), (shorter.p50_s, longer.p50_s), (shorter.p99_s, longer.p99_s)):
        assert one <= other * (1 + 1e-9)
