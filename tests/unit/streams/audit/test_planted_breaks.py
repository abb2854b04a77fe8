"""The audit finds each loss that the fault checker knows, in a flow where all is well and a worker was killed twice."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from streams.audit.kinds import AuditKind
from streams.audit.once import audit
from streams.audit.scope import Scope
from streams.testing.flow import Flow
from tests.harness.settled_flow import OUTCOMES, REQUESTS, RESULTS, Settled
from tests.harness.source_tree import ROOT


@pytest.fixture
def well() -> Iterator[Settled]:
    with Flow("echo") as flow:
        yield Settled(flow)


def report(well: Settled) -> dict[str, Any]:
    return audit(well.flow.settings, Scope())


def found(well: Settled) -> dict[str, int]:
    return {one["kind"]: one["count"] for one in report(well)["findings"]}


def test_nothing_is_found_where_workers_were_killed_and_nothing_was_lost(well: Settled) -> None:
    made = report(well)
    assert made["findings"] == []
    assert (made["clean"], made["complete"]) == (True, True)
    assert made["runs"]["state"] == {"CANCELLED": 1, "COMPLETED": 3, "EXPIRED": 1, "FAILED": 2}
    assert made["runs"]["superseded results"] >= 4


def _lose_everything_but_the_request(well: Settled) -> None:
    for topic in (RESULTS, OUTCOMES):
        well.drop(topic)
    well.forget("jobs", "runs", "outcomes", "deliveries", "history")


def _hang(well: Settled) -> None:
    well.drop(RESULTS)
    well.drop(OUTCOMES)
    well.forget("outcomes", "deliveries")
    well.set("runs", state="PROCESSING")


def _read_a_result_and_store_nothing(well: Settled) -> None:
    well.drop(OUTCOMES)
    well.forget("outcomes", "deliveries")
    well.set("runs", state="PROCESSING")


def _publish_and_store_nothing(well: Settled) -> None:
    well.drop(REQUESTS)
    well.forget("jobs", "runs", "outcomes", "deliveries", "history")


def _make_an_outcome_of_no_job(well: Settled) -> None:
    well.drop(REQUESTS)
    well.set("runs", position=None)


def _give_two_ids(well: Settled) -> None:
    second = replace(well.delivery, delivery_id=uuid4().bytes)
    well.flow.database.deliveries[second.delivery_id] = second


def _park(well: Settled) -> None:
    well.delivery.state = "parked"


def _lose_the_outcome_of_a_callback(well: Settled) -> None:
    well.forget("outcomes", "runs")
    well.drop(OUTCOMES)


#: By the name of the checker's break: how the same is planted here, and the finding. A text: why no audit can see it.
PLANTED: dict[str, tuple[Callable[[Settled], object], AuditKind] | str] = {
    "a run that never ends": (_hang, AuditKind.OVERDUE),
    "a request that nothing came of": (_lose_everything_but_the_request, AuditKind.UNKNOWN),
    "a row that contradicts the outcome": (
        lambda well: well.set("runs", state="RETRYING"),
        AuditKind.STATE_CONTRADICTS,
    ),
    "two outcomes": (lambda well: well.copy(OUTCOMES, well.other), AuditKind.TWO_OUTCOMES),
    "an outcome published twice": "its copies are the same: counted, see below",
    "a job executed again and again": "the first result counts: counted as superseded, see below",
    "a topic that says otherwise": (lambda well: well.replace(OUTCOMES, well.other), AuditKind.OUTCOME_DIFFERS),
    "a callback that says otherwise": "only its receiver knows the body",
    "a wrong answer": "only the submitter knows the right one",
    "a state that can not be": "only the submitter knows",
    "another error": (lambda well: well.set("outcomes", status="FAILED", error_code="X"), AuditKind.OUTCOME_DIFFERS),
    "an outcome of no job": (_make_an_outcome_of_no_job, AuditKind.REQUEST_MISSING),
    "a run that went back": (lambda well: well.set("runs", state="PENDING", attempt=0), AuditKind.STATE_CONTRADICTS),
    "an end that was left": (lambda well: well.set("runs", state="FAILED", attempt=2), AuditKind.STATE_CONTRADICTS),
    "a run that is gone": (lambda well: well.forget("runs"), AuditKind.STATE_CONTRADICTS),
    "an outcome that was never published": (lambda well: well.drop(OUTCOMES), AuditKind.NOT_PUBLISHED),
    "a record that the sink passed over": (lambda well: well.forget_history_of(RESULTS), AuditKind.NOT_RECORDED),
    "a job that overtook": "an order of execution, and no loss",
    "a callback that never came": (lambda well: well.forget("deliveries"), AuditKind.DELIVERY_MISSING),
    "a delivery that was given up": (_park, AuditKind.DELIVERY_FAILED),
    "a callback that came twice": "only its receiver knows",
    "a callback under two ids": (_give_two_ids, AuditKind.DELIVERY_DOUBLED),
    "a callback of a job without outcome": (_lose_the_outcome_of_a_callback, AuditKind.DELIVERY_EARLY),
    "a late callback that says otherwise": "only its receiver knows",
    "a callback of an earlier run": "only its receiver knows the order",
}
#: Losses that the checker does not tell apart.
FURTHER: dict[str, tuple[Callable[[Settled], object], AuditKind]] = {
    "an outcome that was deleted": (lambda well: well.forget("outcomes"), AuditKind.NOT_STORED),
    "a result that was read and not stored": (
        _read_a_result_and_store_nothing,
        AuditKind.OUTCOME_MISSING,
    ),
    "a request that the log has lost": (lambda well: well.drop(REQUESTS), AuditKind.REQUEST_MISSING),
    "a job whose row is gone": (lambda well: well.forget("jobs"), AuditKind.STATE_CONTRADICTS),
    "an output that was changed": (
        lambda well: well.set("outcomes", output=b'{"message": "?"}'),
        AuditKind.OUTCOME_DIFFERS,
    ),
    "a result that was changed": (lambda well: well.replace(RESULTS, well.other), AuditKind.OUTCOME_DIFFERS),
    "a published outcome of a job that was never stored": (
        _publish_and_store_nothing,
        AuditKind.NOT_STORED,
    ),
}
TO_FIND = {name: each for name, each in PLANTED.items() if not isinstance(each, str)} | FURTHER


def test_every_break_of_the_checker_is_planted_or_has_a_reason_why_not() -> None:
    tree = ast.parse((ROOT / "tests" / "faults" / "test_checker.py").read_text(encoding="utf-8"))
    [planted] = [
        node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "PLANTED"
    ]
    assert isinstance(planted, ast.Dict)
    assert list(PLANTED) == [key.value for key in planted.keys if isinstance(key, ast.Constant)]


@pytest.mark.parametrize("planted", TO_FIND)
def test_a_planted_loss_is_found_with_its_job_and_a_command_to_look_further(well: Settled, planted: str) -> None:
    plant, kind = TO_FIND[planted]
    plant(well)
    made = report(well)
    assert made["clean"] is False
    [finding] = [one for one in made["findings"] if one["kind"] == kind]
    assert finding["count"] == 1
    assert [one["job_id"] for one in finding["examples"]] == [well.job]
    assert well.job in finding["next"]


def test_every_kind_of_finding_is_planted() -> None:
    elsewhere = {AuditKind.UNREADABLE, AuditKind.DELIVERY_OVERDUE}  # test_states.py
    assert {kind for _, kind in TO_FIND.values()} | elsewhere == set(AuditKind)


def test_copies_of_an_outcome_and_further_executions_are_counted_and_are_no_finding(well: Settled) -> None:
    before = report(well)["runs"]["superseded results"]
    well.copy(OUTCOMES)
    well.flow.redeliver(well.job, "result")
    well.flow.settle()
    made = report(well)
    assert made["findings"] == []
    assert made["runs"]["outcome"]["published several times, and the same"] == 1
    assert made["runs"]["superseded results"] == before + 1


def test_the_tables_add_up(well: Settled) -> None:
    made = report(well)
    accepted, states = (sum(made["runs"][name].values()) for name in ("accepted", "state"))
    ended = sum(count for state, count in made["runs"]["state"].items() if state.isupper())
    outcomes, callbacks = (sum(made["runs"][name].values()) for name in ("outcome", "callback"))
    records = sum(one["to"] - one["from"] for one in made["scope"]["offsets"])
    assert (accepted, ended) == (states, outcomes)
    assert outcomes == callbacks
    assert sum(made["records"].values()) == records
    assert made["records"]["first requests of runs"] == accepted
    assert made["records"]["further attempts"] == 1
    assert timedelta(seconds=made["scope"]["late_after_s"]) == Scope().late
