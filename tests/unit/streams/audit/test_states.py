"""Why an open job is no loss, when it is late, and what was deleted: on a flow whose time is moved by hand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.payload_store import Payload
from schemas.errors import ExitCode, NotFound, UsageError
from schemas.ids import new_id
from streams import wiring
from streams.audit.once import NoWatch, audit
from streams.audit.render import as_text
from streams.audit.scope import Scope
from streams.cli.audit import _span
from streams.cli.run import run
from streams.testing.flow import Flow
from tests.harness.settled_flow import OUTCOMES, REQUESTS, URL, Settled


@pytest.fixture
def flow() -> Iterator[Flow]:
    with Flow("echo") as made:
        yield made


def report(flow: Flow, **scope: Any) -> dict[str, Any]:
    return audit(flow.settings, Scope(**scope))


def states(flow: Flow, **scope: Any) -> dict[str, int]:
    made = report(flow, **scope)
    assert made["findings"] == []
    found: dict[str, int] = made["runs"]["state"]
    return found


def kinds(flow: Flow, **scope: Any) -> list[tuple[str, str]]:
    """Return the findings: kind and detail of the first example."""
    return [(one["kind"], one["examples"][0]["detail"]) for one in report(flow, **scope)["findings"]]


def submit(flow: Flow, **options: Any) -> str:
    return flow.submit("echo", {"message": "x"}, **options)


def test_a_job_that_waits_is_no_loss_and_the_report_says_for_what(flow: Flow) -> None:
    submit(flow)
    submit(flow, not_before=flow.now + timedelta(hours=1))
    retried = flow.submit("echo", {"message": "x", "fail": "CONNECTION_ERROR"})
    flow.settle()
    assert flow.job(retried).state == "RETRYING"
    submit(flow)
    flow.settle(worker=False)
    submit(flow)
    assert states(flow) == {
        "COMPLETED": 1,
        "open: retry is due later": 1,
        "open: starts later": 1,
        "open: the sink has not read it": 1,
        "open: waits for a worker": 1,
    }
    flow.pause("echo")
    flow.settle(worker=False)
    assert states(flow)["open: its processor is paused"] == 2


def test_a_due_time_that_nothing_acts_on_is_overdue_after_a_while(flow: Flow) -> None:
    submit(flow, deadline=flow.now + timedelta(minutes=1))
    flow.settle(worker=False)
    flow.advance(120)
    assert states(flow) == {"open: waits for a worker": 1}
    flow.advance(600)
    [(kind, detail)] = kinds(flow)
    assert (kind, detail.startswith("deadline was due at")) == ("overdue", True)
    assert states(flow, late=timedelta(hours=1)) == {"open: waits for a worker": 1}


def test_a_request_that_no_sink_reads_is_overdue_after_a_while(flow: Flow) -> None:
    submit(flow)
    flow.advance(600)
    [(kind, detail)] = kinds(flow)
    assert (kind, detail.startswith("no sink has read its request, ")) == ("overdue", True)


def test_a_request_that_was_accepted_over_http_and_never_published_is_overdue_after_a_while(flow: Flow) -> None:
    with wiring.payload_store(flow.settings) as payloads:
        payloads.accept(Payload(new_id(), 0, "echo", "live", b"k", b"v", [], "t"))
    assert states(flow) == {"open: waits for Kafka": 1}
    flow.advance(600)
    assert [kind for kind, _ in kinds(flow)] == ["overdue"]


def test_a_callback_that_is_due_for_long_is_a_finding(flow: Flow) -> None:
    flow.answer_callbacks(503)
    submit(flow, callback_url=URL)
    flow.settle()
    assert report(flow)["runs"]["callback"] == {"pending": 1}
    flow.advance(600)
    assert [kind for kind, _ in kinds(flow)] == ["delivery_overdue"]


def test_a_record_without_a_job_is_a_finding_unless_it_is_a_dead_letter(flow: Flow) -> None:
    producer = flow.log.producer()
    producer.produce(REQUESTS, b"what is this", b"k")
    producer.flush()
    flow.settle()
    made = report(flow)
    assert (made["records"]["records without a job"], made["findings"]) == (1, [])
    assert len(flow.dead_letters()) == 1
    for partition in flow.log.topics["dead-letters"].partitions:
        partition.records.clear()
    [(kind, detail)] = kinds(flow)
    assert (kind, detail.startswith(f"{REQUESTS}[")) == ("unreadable", True)


def test_records_that_retention_deleted_are_said_and_not_guessed(flow: Flow) -> None:
    Settled(flow)
    for name in (REQUESTS, OUTCOMES):
        for partition in flow.log.topics[name].partitions:
            partition.delete_before(partition.end)
    flow.advance(3600)
    submit(flow)
    flow.settle()
    made = report(flow)
    assert made["findings"] == []
    assert made["runs"]["accepted"] == {"log, live lane": 1, "request left the log": 7}
    assert made["runs"]["outcome"]["no longer kept by the log"] > 0


def test_runs_that_the_store_has_pruned_are_said_and_not_guessed(flow: Flow) -> None:
    well = Settled(flow)
    well.forget("jobs", "runs", "outcomes", "deliveries", "history")
    flow.advance(2 * 86_400)
    pruned = flow.settings.model_copy(update={"keep_days": 1.0})
    made = audit(pruned, Scope())
    assert made["findings"] == []
    assert made["runs"]["state"]["ended, and deleted from the store by SLUICE_KEEP_DAYS"] == 1


def test_an_erased_case_has_no_output_to_compare_and_no_callback(flow: Flow) -> None:
    submit(flow, case_id="c", callback_url=URL)
    flow.settle(worker=False)
    with wiring.retention_store(flow.settings) as rows:
        rows.erase("default", "c", "test", 0)
    flow.settle()
    made = report(flow)
    assert made["findings"] == []
    assert made["runs"]["callback"] == {"none, its case was erased": 1}


def test_a_range_of_offsets_or_of_time_is_all_that_is_read(flow: Flow) -> None:
    for _ in range(6):
        submit(flow)
    flow.settle()
    flow.advance(3600)
    middle = flow.now
    submit(flow)
    flow.settle()
    assert states(flow) == {"COMPLETED": 7}
    assert states(flow, since=middle) == {"COMPLETED": 1}
    assert states(flow, until=middle) == {"COMPLETED": 6}
    ends = {one["partition"]: one["to"] for one in report(flow)["scope"]["offsets"] if one["topic"] == REQUESTS}
    number, end = max(ends.items(), key=lambda one: one[1])
    assert states(flow, offsets=((REQUESTS, number, end - 1, end + 50),)) == {"COMPLETED": 1}
    assert states(flow, offsets=(_span(f"{REQUESTS}:{number}:{end - 1}-{end - 1}"),)) == {"COMPLETED": 1}
    with pytest.raises(UsageError):
        report(flow, offsets=((REQUESTS, 99, 0, 1),))
    with pytest.raises(NotFound):
        report(flow, processors=("nothing",))


def test_jobs_are_counted_once_with_those_that_completed_in_a_later_run(
    flow: Flow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("streams.settings.load_settings", lambda: flow.settings)
    submit(flow)
    failed = flow.submit("echo", {"message": "x", "fail": "INVALID_INPUT"})
    flow.settle()
    patch = tmp_path / "patch.json"
    patch.write_text('[{"op": "replace", "path": "/fail", "value": null}]')
    assert run(["replay", failed, "--edit", str(patch), "--detach"]) == ExitCode.OK
    flow.settle()
    made = report(flow)
    assert made["runs"]["state"] == {"COMPLETED": 2, "FAILED": 1}
    assert made["jobs"] == {"examined": 2, "completed in a later run": 1}
    assert "Jobs: 2 in 3 runs; 1 of them failed first and completed in a later run" in as_text(made)


def test_a_tenant_sees_its_own_jobs_only(flow: Flow) -> None:
    submit(flow, tenant="a")
    submit(flow, tenant="b")
    flow.settle()
    made = report(flow, tenant="a")
    assert made["runs"]["state"] == {"COMPLETED": 1}
    assert made["records"]["requests of other tenants"] == 1


class _StopsAt(NoWatch):
    """Interrupts the audit when a phase begins."""

    def __init__(self, name: str) -> None:
        self.name, self.stop = name, threading.Event()

    def phase(self, name: str, total: int) -> None:
        if name == self.name:
            self.stop.set()


@pytest.mark.parametrize("phase", ["requests", "results and outcomes", "jobs"])
def test_an_interrupted_audit_says_that_it_is_partial_and_how_much_it_did_not_examine(flow: Flow, phase: str) -> None:
    for _ in range(3):
        submit(flow)
    flow.settle()
    watch = _StopsAt(phase)
    made = audit(flow.settings, Scope(), stop=watch.stop, watch=watch)
    assert (made["complete"], made["clean"], made["findings"]) == (False, False, [])
    known = made["records"]["first requests of runs"]
    assert made["runs"]["state"] == ({"not examined": known} if known else {})


def test_an_audit_changes_nothing(flow: Flow) -> None:
    Settled(flow)
    before = (
        flow.log.appended,
        flow.database.changes,
        {name: dict(g.committed) for name, g in flow.log.groups.items()},
    )
    report(flow)
    after = (flow.log.appended, flow.database.changes, {name: dict(g.committed) for name, g in flow.log.groups.items()})
    assert {name: offsets for name, offsets in after[2].items() if offsets} == {
        name: offsets for name, offsets in before[2].items() if offsets
    }
    assert after[:2] == before[:2]
