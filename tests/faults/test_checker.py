"""The checker finds what it is for: each break is planted into a run in which all is well."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.report import Report, picture
from tests.harness.checker import gather
from tests.harness.checker.avro import AvroFiles
from tests.harness.checker.evidence import (
    DeliveryRow,
    Evidence,
    FaultSpan,
    OutcomeRow,
    Received,
    RequestRecord,
    ResultRecord,
    RunRow,
    Submission,
)
from tests.harness.checker.findings import COLUMNS, check

JOBS = 4
CHECKER = Path(gather.__file__).parent


def submitted(n: int, **changes: Any) -> Submission:
    made = Submission(f"t-{n}", float(n), job_id=f"job-{n}", message=f"answer {n}", callback=True, order_key="key")
    return replace(made, **changes)


def request(n: int, **changes: Any) -> RequestRecord:
    return replace(RequestRecord("requests.queue", 0, n, f"job-{n}", 0, 1, f"t-{n}", float(n)), **changes)


def result(n: int, topic: str = "results.queue", **changes: Any) -> ResultRecord:
    state = ("succeeded", "COMPLETED", f"answer {n}", None)
    return replace(
        ResultRecord(topic, 0, n, f"job-{n}", 0, 1, 1, *state, n + 0.1, n + 0.2, n + 0.3), **changes
    )  # fmt: skip


def outcome(n: int, **changes: Any) -> OutcomeRow:
    made = OutcomeRow(f"job-{n}", 0, "COMPLETED", f"answer {n}", None, "results.queue", 0, n, n + 0.4)
    return replace(made, **changes)


def run_row(n: int, state: str = "COMPLETED", **changes: Any) -> RunRow:
    return replace(RunRow(f"job-{n}", 0, state, 1, 1, 0), **changes)


def callback(n: int, **changes: Any) -> Received:
    made = Received(n + 0.5, f"t-{n}", f"delivery-{n}", f"job-{n}", 0, "COMPLETED", f"answer {n}")
    return replace(made, **changes)


def delivery(n: int, **changes: Any) -> DeliveryRow:
    return replace(DeliveryRow(f"delivery-{n}", f"job-{n}", 0, "outcome", "delivered", 1), **changes)


def all_well() -> Evidence:
    each = range(JOBS)
    places = [("requests.queue", 0, n) for n in each] + [("results.queue", 0, n) for n in each]
    return Evidence(
        submissions=tuple(submitted(n) for n in each),
        requests=tuple(request(n) for n in each),
        results=tuple(result(n) for n in each),
        published=tuple(result(n, "outcomes.queue") for n in each),
        outcomes=tuple(outcome(n) for n in each),
        runs=tuple(run_row(n) for n in each),
        observed=tuple(run_row(n, state) for state in ("PENDING", "PROCESSING", "COMPLETED") for n in each),
        deliveries=tuple(delivery(n) for n in each),
        received=tuple(callback(n) for n in each),
        history=frozenset(places),
        read={("requests.queue", 0): JOBS, ("results.queue", 0): JOBS},
    )


def found(evidence: Evidence) -> dict[str, int]:
    """Return the columns that are not zero."""
    return {column: count for column, count in check(evidence).counts().items() if count}


def without(evidence: Evidence, job: str) -> Evidence:
    """Return the evidence as if nothing but the journal had known of a job."""
    fields = ("requests", "results", "published", "outcomes", "runs", "observed", "deliveries", "received")
    kept: Any = {name: tuple(row for row in getattr(evidence, name) if row.job_id != job) for name in fields}
    return replace(evidence, **kept)


def test_nothing_is_found_where_all_is_well() -> None:
    assert found(all_well()) == {}
    assert check(all_well()).clean


def test_an_accepted_job_that_is_nowhere_is_lost() -> None:
    assert found(without(all_well(), "job-1")) == {"lost": 1}


def test_a_job_whose_acceptance_is_unknown_may_be_nowhere() -> None:
    well = without(all_well(), "job-1")
    unknown = tuple(replace(job, status="info", job_id=None) if job.token == "t-1" else job for job in well.submissions)
    assert found(replace(well, submissions=unknown)) == {}


def _with(evidence: Evidence, **fields: Any) -> Evidence:
    return replace(evidence, **fields)


def _plus(**rows: Any) -> Callable[[Evidence], Evidence]:
    return lambda evidence: _with(evidence, **{name: (*getattr(evidence, name), row) for name, row in rows.items()})


def _swap(name: str, n: int, **changes: Any) -> Callable[[Evidence], Evidence]:
    def change(evidence: Evidence) -> Evidence:
        rows = list(getattr(evidence, name))
        rows[n] = replace(rows[n], **changes)
        return _with(evidence, **{name: tuple(rows)})

    return change


def _drop(name: str, n: int) -> Callable[[Evidence], Evidence]:
    return lambda evidence: _with(
        evidence, **{name: tuple(row for i, row in enumerate(getattr(evidence, name)) if i != n)}
    )


def _in_turn(*changes: Callable[[Evidence], Evidence]) -> Callable[[Evidence], Evidence]:
    def change(evidence: Evidence) -> Evidence:
        for each in changes:
            evidence = each(evidence)
        return evidence

    return change


NO_OUTCOME = _in_turn(_drop("outcomes", 2), _drop("published", 2), _drop("deliveries", 2), _drop("received", 2))
PLANTED: dict[str, tuple[Callable[[Evidence], Evidence], str]] = {
    "a run that never ends": (
        _in_turn(NO_OUTCOME, _swap("runs", 2, state="PROCESSING"), _drop("observed", 10)),
        "stuck",
    ),
    "a request that nothing came of": (_in_turn(NO_OUTCOME, _drop("runs", 2)), "stuck"),
    "a row that contradicts the outcome": (_swap("runs", 1, state="RETRYING"), "stuck"),
    "two outcomes": (_plus(outcomes=outcome(1)), "doubled"),
    "an outcome published twice": (_plus(published=result(1, "outcomes.queue", offset=9, at=60.0)), "doubled"),
    "a job executed again and again": (_plus(results=result(1, offset=9, at=60.0)), "doubled"),
    "a topic that says otherwise": (_swap("published", 1, state="FAILED"), "divergent"),
    "a callback that says otherwise": (_swap("received", 1, message="another answer"), "divergent"),
    "a wrong answer": (_swap("submissions", 1, message="another answer"), "divergent"),
    "a state that can not be": (_swap("submissions", 1, states=("FAILED",)), "divergent"),
    "another error": (
        _in_turn(
            _swap("submissions", 1, states=("FAILED",), message=None, error="INVALID_INPUT"),
            _swap("outcomes", 1, status="FAILED", message=None, error="WORKER_LOST"),
            _swap("published", 1, state="FAILED", message=None, error="WORKER_LOST"),
            _swap("received", 1, status="FAILED", message=None),
        ),
        "divergent",
    ),
    "an outcome of no job": (
        _plus(outcomes=outcome(77), published=result(77, "outcomes.queue"), runs=run_row(77)),
        "phantom",
    ),
    "a run that went back": (_plus(observed=run_row(1, "PENDING")), "non-monotonic"),
    "an end that was left": (_plus(observed=run_row(1, "FAILED", attempt=2)), "non-monotonic"),
    "a run that is gone": (_plus(observed=run_row(66, "PENDING")), "non-monotonic"),
    "an outcome that was never published": (_drop("published", 1), "unseen"),
    "a record that the sink passed over": (
        lambda evidence: replace(evidence, history=evidence.history - {("results.queue", 0, 1)}),
        "unseen",
    ),
    "a job that overtook": (_swap("results", 2, started_at=1.15), "unordered"),
    "a callback that never came": (_drop("received", 1), "missing"),
    "a delivery that was given up": (_swap("deliveries", 1, state="parked"), "missing"),
    "a callback that came twice": (_plus(received=callback(1, at=3.0)), "doubled beyond the promise"),
    "a callback under two ids": (_plus(received=callback(1, delivery_id="other")), "doubled beyond the promise"),
    "a callback of a job without outcome": (
        _in_turn(_drop("outcomes", 1), _drop("published", 1), _drop("runs", 1)),
        "after-terminal",
    ),
    "a late callback that says otherwise": (_plus(received=callback(1, at=9.0, status="FAILED")), "after-terminal"),
    "a callback of an earlier run": (
        _in_turn(_swap("received", 1, run=1), _plus(received=callback(1, at=9.0))),
        "out of order",
    ),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_break_is_found(planted: str) -> None:
    change, column = PLANTED[planted]
    broken = check(change(all_well()))
    assert broken.counts()[column] >= 1, broken
    assert not broken.clean


def test_each_column_has_a_break_that_fills_it() -> None:
    assert {column for _, column in PLANTED.values()} | {"lost"} == COLUMNS.keys()


@pytest.mark.parametrize("planted", ["an outcome published twice", "a job executed again and again"])
def test_a_fault_at_the_time_excuses_a_repetition(planted: str) -> None:
    change, _ = PLANTED[planted]
    fault = FaultSpan(58.0, 61.0, "kill sink", frozenset({"sink"}))
    assert found(replace(change(all_well()), faults=(fault,))) == {}


def test_an_end_by_the_timekeeper_beside_that_of_a_worker_is_no_repetition() -> None:
    assert found(_plus(results=result(1, offset=9, at=60.0, execution=0))(all_well())) == {}


@pytest.mark.parametrize(("door", "stored_at", "doubled"), [("rows", 7.0, 0), ("rows", 2.0, 1), ("client", 7.0, 1)])
def test_a_request_may_be_sent_and_executed_again_only_while_the_sink_has_not_stored_it(
    door: str, stored_at: float, doubled: int
) -> None:
    again = _plus(requests=request(1, offset=8, at=6.0), results=result(1, offset=9, at=8.0))(all_well())
    jobs = tuple(replace(job, door=door) for job in again.submissions)
    observed = tuple(replace(row, seen=stored_at) for row in again.observed)
    assert check(replace(again, submissions=jobs, observed=observed)).counts()["doubled"] == doubled


@pytest.mark.parametrize(("name", "divergent"), [("clock back", 0), ("clock ahead", 1), ("kill worker", 1)])
def test_a_job_past_its_deadline_may_complete_only_where_clocks_were_stepped_back(name: str, divergent: int) -> None:
    well = all_well()
    jobs = tuple(replace(job, states=("EXPIRED",)) if job.job_id == "job-1" else job for job in well.submissions)
    fault = FaultSpan(0.5, 3.0, name, frozenset({"worker"}))
    assert check(replace(well, submissions=jobs, faults=(fault,))).counts()["divergent"] == divergent


def test_a_fault_elsewhere_excuses_no_second_callback() -> None:
    change, column = PLANTED["a callback that came twice"]
    elsewhere = FaultSpan(0.0, 10.0, "kill registry", frozenset({"registry"}))
    assert found(replace(change(all_well()), faults=(elsewhere,))) == {column: 1}
    notifier = FaultSpan(2.0, 2.5, "kill notify", frozenset({"notify"}))
    assert found(replace(change(all_well()), faults=(notifier,))) == {}


def test_a_report_names_every_break_and_how_to_run_it_again(tmp_path: Path) -> None:
    change, _ = PLANTED["a callback that never came"]
    fault = FaultSpan(0.5, 2.0, "kill notify", frozenset({"notify"}))
    evidence = replace(change(all_well()), faults=(fault,))
    report = Report(7, "make faults SEED=7", evidence, check(evidence), [])
    assert not report.passed
    report.write(tmp_path)
    text = (tmp_path / "report.txt").read_text()
    assert "FAILED; to run it again: make faults SEED=7" in text
    assert "missing: job-1 (t-1) ended and was never called back" in text
    assert "kill notify" in text
    assert json.loads((tmp_path / "findings.json").read_text())["counts"]["missing"] == 2
    assert picture(evidence).startswith("<svg")


def test_the_journal_of_the_driver_is_folded_to_submissions() -> None:
    invoked = {
        "type": "invoke", "token": "a-1", "at": 1.0, "kind": "plain", "door": "client", "states": ["COMPLETED"],
        "message": "x", "error": None, "callback": True, "order_key": None, "copies": 1,
    }  # fmt: skip
    ok = {"type": "ok", "token": "a-1", "job_id": "job-1", "at": 2.0}
    unknown = {"type": "info", "token": "a-2", "job_id": None, "at": 2.0}
    entries: list[dict[str, Any]] = [invoked, ok, invoked | {"token": "a-2"}, unknown]
    first, second = gather.submissions(entries, {"a-2": "job-2"})
    assert (first.status, first.job_id, first.accepted_at) == ("ok", "job-1", 2.0)
    assert (second.status, second.job_id) == ("info", "job-2")


def test_records_are_decoded_by_the_schema_files_alone() -> None:
    avro = AvroFiles()
    header = {"job_id": "x", "processor": "chore", "created_at": 0, "input_sha256": ""}
    value = avro.encode("ChoreRequest", {"header": header, "input": {"message": "hi"}}, 12)
    assert value[:5] == b"\0\0\0\0\x0c"
    assert avro.decode("ChoreRequest", value)["input"] == {"message": "hi", "delay_ms": 0, "fail": None}


def test_the_checker_imports_nothing_of_the_engine() -> None:
    product = {"schemas", "processors", "connectors", "streams", "bench"}
    for path in CHECKER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] not in product, f"{path.name} imports {name}"
                assert not name.startswith("tests.") or name.startswith("tests.harness.checker"), name
