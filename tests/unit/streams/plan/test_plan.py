"""Plans for a load: enough of each thing, what is full first, what is stored, and what it costs."""

from __future__ import annotations

import re
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from streams.plan.figures import read_figures
from streams.plan.plan import CapacityPlan, ResourceLimit, Site, Workload, largest_share, make_plan, predict
from streams.plan.queueing import ServiceTime

FIGURES = read_figures()
#: A hundred million jobs a day, three times as many at the peak; 32 of them take a device 20 ms, one takes 5 ms.
LARGE = Workload(1e8 / 86_400, ServiceTime(0.0045, 0.0005, 0.2, 32), peak=3.0)
loads = some.builds(
    Workload,
    jobs_per_s=some.floats(0.01, 5000),
    service=some.builds(
        ServiceTime, some.floats(0, 0.1), some.floats(1e-4, 0.1), variation=some.floats(0, 2), most=some.integers(1, 64)
    ),
    peak=some.floats(1, 10),
    callback_s=some.floats(0, 1),
)


def named(plan: CapacityPlan, name: str) -> ResourceLimit:
    (found,) = [each for each in plan.capacities if each.name == name]
    return found


def added(add: str) -> int:
    found = re.match(r"add (\d+) ", add)
    assert found is not None, add
    return int(found[1])


@settings(max_examples=40)
@given(load=loads, shared=some.booleans())
def test_numbers_that_are_chosen_suffice_and_one_device_less_does_not(load: Workload, shared: bool) -> None:
    load = replace(load, service=replace(load.service, most=1)) if shared else load
    plan = make_plan(load, Site(shared=shared), FIGURES)
    assert plan.partitions >= plan.sinks
    for name in ("devices", "sinks", "callbacks"):
        assert named(plan, name).utilisation <= 0.7 * (1 + 1e-9)
    if plan.devices > 1:
        fewer = make_plan(load, Site(shared=shared, devices=plan.devices - 1), FIGURES)
        assert named(fewer, "devices").utilisation > 0.7


@settings(max_examples=40)
@given(load=loads, devices=some.integers(1, 20))
def test_an_overload_says_how_many_more_devices_end_it(load: Workload, devices: int) -> None:
    plan = make_plan(load, Site(devices=devices), FIGURES)
    short = named(plan, "devices")
    if short.utilisation > 0.7:
        assert (short in plan.overloaded) == (plan.wait.mean_s == inf)
        more = make_plan(load, Site(devices=devices + added(short.add)), FIGURES)
        assert named(more, "devices").utilisation <= 0.7 * (1 + 1e-9)


@settings(max_examples=40)
@given(load=loads, devices=some.integers(1, 60), partitions=some.integers(1, 60))
def test_another_device_never_makes_a_plan_wait_longer(load: Workload, devices: int, partitions: int) -> None:
    waits = [
        make_plan(load, Site(devices=count, partitions=partitions), FIGURES).wait for count in (devices, devices + 1)
    ]
    assert waits[1].mean_s <= waits[0].mean_s
    assert waits[1].p99_s <= waits[0].p99_s


@settings(max_examples=40)
@given(load=loads)
def test_jobs_in_flight_are_rate_times_time(load: Workload) -> None:
    plan = make_plan(load, Site(), FIGURES)
    assert plan.waiting == pytest.approx(load.peak_per_s * plan.wait.mean_s)
    assert plan.in_flight > plan.waiting


@settings(max_examples=40)
@given(members=some.integers(1, 100), partitions=some.integers(1, 100))
def test_the_busiest_member_has_no_less_than_an_even_share(members: int, partitions: int) -> None:
    assert 1 / min(members, partitions) <= largest_share(members, partitions) <= 1
    if partitions % members == 0:
        assert largest_share(members, partitions) == 1 / members


def test_a_wait_that_is_asked_for_takes_more_devices() -> None:
    slow, fast = (make_plan(LARGE, Site(wait_s=wait), FIGURES) for wait in (inf, 0.006))
    assert fast.wait.p99_s <= 0.006 < slow.wait.p99_s
    assert fast.devices > slow.devices


def test_devices_beyond_the_partitions_are_of_no_use_unless_they_share_one_queue() -> None:
    single = replace(LARGE, service=ServiceTime(0.0, 0.002))
    plan = make_plan(single, Site(devices=20, partitions=12), FIGURES)
    assert plan.notes[0] == "8 devices get no partition and no jobs: there are 12 partitions"
    assert (
        named(plan, "devices").jobs_per_s == named(make_plan(single, Site(devices=12), FIGURES), "devices").jobs_per_s
    )
    shared = make_plan(single, Site(devices=20, partitions=12, shared=True), FIGURES)
    assert named(shared, "devices").jobs_per_s > named(plan, "devices").jobs_per_s


def test_uneven_shares_cost_capacity() -> None:
    even, uneven = (make_plan(LARGE, Site(devices=5, partitions=count), FIGURES) for count in (15, 12))
    assert named(uneven, "devices").jobs_per_s == pytest.approx(named(even, "devices").jobs_per_s * (12 / 3) / 5)
    assert uneven.notes == ["some devices get 3 partitions and others 2; a multiple of 5 is even", *even.notes]


def test_the_whole_bears_what_its_smallest_part_bears() -> None:
    plan = make_plan(replace(LARGE, callback_s=0.01), Site(sinks=1), FIGURES)
    assert plan.jobs_per_s == FIGURES.sink_jobs_per_s
    assert [each.name for each in plan.overloaded] == ["sinks"]
    assert named(plan, "sinks").add == "add 2 sinks"


def test_sinks_are_chosen_by_the_share_of_the_busiest() -> None:
    load = Workload(4762, ServiceTime(0.0, 0.004), peak=2.0, callback_s=0.0)
    plan = make_plan(load, Site(partitions=55), FIGURES)
    assert plan.sinks == 7  # of six, one would have 10 of 55 partitions: 1,732 jobs/s, above 70 % of 2,450
    assert named(plan, "sinks").utilisation == pytest.approx(9524 * 8 / 55 / 2450)


def test_callbacks_that_are_slow_need_connections() -> None:
    plan = make_plan(replace(LARGE, callback_s=0.5), Site(sinks=3), FIGURES)
    assert named(plan, "callbacks").jobs_per_s == 3 * 64 / 0.5
    assert plan.overloaded[0].add.endswith("or raise SLUICE_CALLBACK_CONNECTIONS")


def test_records_and_rows_of_a_day_are_kept_as_long_as_topics_and_settings_say() -> None:
    plan = make_plan(replace(LARGE, input_bytes=1000, output_bytes=2000), Site(keep_days=10, copies=2), FIGURES)
    one_job = (524 + 1000) * 14 + (796 + 2000) * 30 + (521 + 2000) * 30
    assert plan.storage.log == pytest.approx(1e8 * one_job)
    assert plan.storage.log_copies == 2 * plan.storage.log
    assert plan.storage.rows_per_day == pytest.approx(7e8)
    assert plan.storage.postgres == pytest.approx(1e8 * (1920 + 2000) * 10)
    assert make_plan(LARGE, Site(keep_days=None), FIGURES).storage.postgres is None


def test_a_cost_needs_a_price() -> None:
    assert make_plan(LARGE, Site(), FIGURES).cost_per_month is None
    plan = make_plan(LARGE, Site(device_price=2.0), FIGURES)
    assert plan.cost_per_month == plan.devices * 2.0 * 730
    disk = make_plan(LARGE, Site(gb_price=0.1, keep_days=1), FIGURES)
    assert disk.storage.postgres is not None
    assert disk.cost_per_month == pytest.approx((disk.storage.log_copies + disk.storage.postgres) / 1e9 * 0.1)


def test_a_prediction_is_the_smaller_of_cores_and_sinks() -> None:
    assert predict(FIGURES, cores=1, sinks=1) == pytest.approx(1e6 / FIGURES.total_us)
    assert predict(FIGURES, cores=64, sinks=2) == 2 * FIGURES.sink_jobs_per_s
