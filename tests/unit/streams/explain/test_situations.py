"""Situations of a job, staged with the real services on twins; the snapshot is collected as `sluice explain` does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.errors import ExitCode
from schemas.records import Coordinates
from streams.cli.run import run
from streams.explain.collect import collect
from streams.explain.explain import Explanation, explain
from streams.explain.snapshot import JobSnapshot, LogEvent, LogPlace, RecordReading, WorkerSeen
from streams.testing import Flow

ECHO = {"message": "hello"}
AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def flow() -> Iterator[Flow]:
    with Flow("echo") as made:
        yield made


def explained(flow: Flow, job: str, number: int | None = None, *, operator: bool = True) -> Explanation:
    return explain(collect(flow.settings, job, number), operator=operator)


def codes(found: Explanation) -> list[str]:
    return [each.code for each in found.reasons]


def commands(found: Explanation) -> list[str]:
    return [each.command for each in found.steps if each.command]


def test_a_job_of_a_paused_processor_names_the_pause_and_how_to_end_it(flow: Flow) -> None:
    flow.pause("echo")
    flow.submit("echo", ECHO, order_key="same")
    job = flow.submit("echo", ECHO, order_key="same")
    flow.settle()
    found = explained(flow, job)
    assert (found.situation, found.state) == ("paused", "PENDING")
    assert "echo is paused since" in found.headline
    assert "ahead_in_queue" in codes(found)
    assert commands(found) == ["sluice resume echo"]  # more workers would not help


def test_a_job_behind_others_says_how_many_and_in_which_partition(flow: Flow) -> None:
    before = [flow.submit("echo", ECHO, order_key="same") for _ in range(7)]
    job = flow.submit("echo", ECHO, order_key="same")
    flow.settle(worker=False)
    found = explained(flow, job)
    assert found.situation == "ahead_in_queue"
    assert found.headline.startswith(f"{len(before)} jobs are ahead of it in requests.echo[")
    assert explained(flow, before[0]).situation == "next"


def test_a_job_between_two_attempts_says_when_the_next_one_starts_and_why_the_last_failed(flow: Flow) -> None:
    job = flow.submit("echo", {**ECHO, "fail": "CONNECTION_ERROR"}, max_attempts=2)
    flow.settle()
    found = explained(flow, job)
    assert found.situation == "retry_waiting"
    assert "Attempt 1 of 2 failed with CONNECTION_ERROR; attempt 2 starts at" in found.headline
    assert [event.kind for event in found.events] == ["request", "retry"]
    assert all(event.where is not None and event.where.topic for event in found.events)


def test_a_deadline_that_is_near_is_in_the_headline(flow: Flow) -> None:
    job = flow.submit("echo", ECHO, deadline=flow.now + timedelta(seconds=30))
    flow.settle(worker=False)
    found = explained(flow, job)
    assert "deadline_near" in codes(found)
    assert "Its deadline is near" in found.headline
    later = flow.submit("echo", ECHO, deadline=flow.now + timedelta(hours=3))
    flow.settle(worker=False)
    assert "deadline_near" not in codes(explained(flow, later))


def test_a_parked_callback_is_the_headline_of_a_completed_job(flow: Flow) -> None:
    flow.answer_callbacks(503)
    job = flow.submit("echo", ECHO, callback_url="http://backend.example/done")
    for _ in range(12):
        flow.settle()
        flow.advance(40_000)
    found = explained(flow, job)
    [delivery] = found.deliveries
    assert (found.state, found.situation, delivery.state) == ("COMPLETED", "callback_parked", "parked")
    assert f"parked after {len(delivery.tries)} tries" in found.headline
    assert "503" in found.headline
    assert f"sluice deliveries resend {delivery.delivery_id}" in commands(found)


def test_a_callback_that_waits_for_an_open_circuit_says_until_when(flow: Flow) -> None:
    flow.answer_callbacks(503)
    jobs = [flow.submit("echo", ECHO, callback_url="http://backend.example/done") for _ in range(6)]
    flow.settle()
    found = explained(flow, jobs[0])
    assert found.situation in ("callback_circuit_open", "callback_waiting")


def test_a_dead_letter_says_where_it_is_and_why(flow: Flow) -> None:
    job = flow.submit("echo", ECHO)
    [request] = flow.records("requests.echo")
    producer = flow.log.producer()
    broken = "0198c0de-0000-7000-8000-000000000001"
    fields: dict[str, Any] = dict(request.headers() or ())
    headers = list((fields | {"sluice-job": broken.encode()}).items())
    producer.produce("requests.echo", b"no avro", broken.encode(), headers=headers)
    producer.flush()
    flow.settle()
    found = explained(flow, broken)
    assert (found.state, found.situation) == ("FAILED", "dead_lettered")
    assert "UNDECODABLE" in found.headline
    assert "dead-letters[" in found.headline
    assert explained(flow, job).situation == "completed"


def test_a_cancelled_job_says_who_asked_and_why(flow: Flow) -> None:
    job = flow.submit("echo", ECHO)
    flow.settle(worker=False)
    flow.cancel(job, "wrong series")
    flow.settle()
    found = explained(flow, job)
    assert (found.state, found.situation) == ("CANCELLED", "cancelled")
    assert "by test (wrong series)" in found.headline


def test_a_second_result_is_said_to_be_superseded_with_its_place(flow: Flow) -> None:
    job = flow.submit("echo", ECHO)
    flow.kill_worker("published")
    flow.settle()
    found = explained(flow, job)
    assert (found.state, found.situation) == ("COMPLETED", "completed")
    [note] = [each for each in found.reasons if each.code == "superseded_duplicate"]
    assert note.text.startswith("A second result of this run came (results.echo[")


def test_a_result_that_only_the_log_has_shows_that_postgres_is_behind(flow: Flow) -> None:
    job = flow.submit("echo", ECHO)
    flow.settle(worker=False)
    flow._work(flow._workers["echo"])  # the sink does not
    found = explained(flow, job)
    assert (found.state, found.situation) == ("PENDING", "sink_behind")
    assert "(succeeded, results.echo[" in found.headline
    assert "the sink is" in found.headline
    assert [(event.kind, event.stored) for event in found.events] == [("request", True), ("result", False)]


def test_a_job_that_postgres_does_not_have_at_all_is_found_in_the_log(flow: Flow) -> None:
    job = flow.submit("echo", ECHO)
    found = explained(flow, job)
    assert found.situation == "request_not_stored"
    flow._work(flow._workers["echo"])
    assert explained(flow, job).situation == "sink_behind"


def test_a_job_that_does_not_exist_is_said_not_to(flow: Flow) -> None:
    assert explained(flow, "0198c0de-0000-7000-8000-000000000001").situation == "no_such_job"


def test_a_job_that_must_not_start_yet_says_when_it_may(flow: Flow) -> None:
    job = flow.submit("echo", ECHO, not_before=flow.now + timedelta(hours=1))
    flow.settle()
    found = explained(flow, job)
    assert found.situation == "not_before"
    assert "(in 60 min)" in found.headline


def test_a_retry_that_is_overdue_shows_that_no_timekeeper_leads(flow: Flow) -> None:
    job = flow.submit("echo", {**ECHO, "fail": "CONNECTION_ERROR"})
    flow.settle()
    flow.advance(300)  # the timekeeper does not run meanwhile
    found = explained(flow, job)
    assert found.situation == "timekeeper_late"
    assert "no timekeeper leads" in found.headline
    assert "sluice timekeeper" in commands(found)


def test_a_cancel_that_has_not_taken_effect_says_who_asked(flow: Flow) -> None:
    job = flow.submit("echo", ECHO)
    flow.settle(worker=False)
    flow.cancel(job, "wrong series")
    services = flow._services
    services._commands.turn(services._commands_consumer, services._commands_store)  # the sink only stores it
    found = explained(flow, job)
    assert (found.state, found.situation) == ("PENDING", "cancel_requested")
    assert "by test (wrong series)" in found.headline


def test_ends_are_distinguished_and_a_callback_that_arrived_is_said(flow: Flow) -> None:
    failed = flow.submit("echo", {**ECHO, "delay_ms": -1})
    expired = flow.submit("echo", ECHO, deadline=flow.now + timedelta(seconds=5))
    flow.settle(worker=False)
    flow.advance(6)
    done = flow.submit("echo", ECHO, callback_url="http://backend.example/done")
    flow.settle()
    assert explained(flow, failed).headline.split(" at ")[0] == "It failed"
    assert "with INVALID_INPUT: delay_ms must not be negative" in explained(flow, failed).headline
    assert (explained(flow, expired).situation, explained(flow, expired).state) == ("expired", "EXPIRED")
    assert codes(explained(flow, done)) == ["completed", "callback_delivered"]
    assert commands(explained(flow, failed))[:2] == [f"sluice repro {failed}", f"sluice replay {failed} --dry-run"]


def test_a_replayed_run_names_its_replay(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.settings.load_settings", lambda: flow.settings)
    job = flow.submit("echo", {**ECHO, "fail": "CONNECTION_ERROR"}, max_attempts=1)
    flow.settle()
    assert run(["replay", job, "--detach"]) == ExitCode.OK
    flow.settle()
    found = explained(flow, job)
    assert found.run == 1
    assert any(
        each.code == "replay" and each.text.startswith("Run 1 is a replay run of replay") for each in found.reasons
    )
    assert [event.run for event in found.events] == [0, 0, 1, 1]


def test_an_earlier_run_names_the_later_one_and_has_its_own_callback_only(
    flow: Flow, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("streams.settings.load_settings", lambda: flow.settings)
    job = flow.submit("echo", {**ECHO, "fail": "INVALID_INPUT"}, callback_url="http://backend.example/done")
    flow.settle()
    first = next(each.text for each in explained(flow, job).reasons if each.code == "callback_delivered")
    flow.advance(3600)
    assert run(["replay", job, "--detach"]) == ExitCode.OK
    flow.settle()
    found = explained(flow, job, 0)
    assert [each.text.split(" UTC")[0] for each in found.reasons if each.code == "callback_delivered"] == [
        first.split(" UTC")[0]
    ]
    assert "Run 1 came later and counts: it is FAILED." in [each.text for each in found.reasons]
    assert [each for each in commands(found) if job in each] == [f"sluice repro {job}", f"sluice explain {job}"]
    assert "later_run" not in codes(explained(flow, job))
    assert [each.run for each in found.deliveries] == [0, 1]
    capsys.readouterr()
    assert run(["job", job]) == ExitCode.OK
    assert "callback of run 1, delivered: http://backend.example/done" in capsys.readouterr().out
    assert run(["job", job, "--json"]) == ExitCode.OK
    assert set(json.loads(capsys.readouterr().out)["error"]) == {"code", "message", "fingerprint"}


def test_a_job_that_a_worker_has_taken_names_it_and_how_many_it_holds() -> None:
    where = Coordinates("requests.echo", 0, 5)
    place = LogPlace(where, RecordReading.TAKEN, ahead=0, in_flight=3, committed=3, crashes=1)
    request = LogEvent("request", AT, 0, 1, where)
    owner = WorkerSeen("w1", member=True, owner=True)
    snapshot = JobSnapshot("j", AT, processor="echo", place=place, workers=[owner], found=[request], members_known=True)
    taken = next(each.text for each in explain(snapshot).reasons if each.code == "in_flight")
    assert taken.startswith("Worker w1 has taken it, with 2 other jobs of its partition in flight.")
    assert "1 execution of it ended with the worker" in taken


def test_a_worker_that_starts_is_not_called_absent() -> None:
    starting = WorkerSeen("w1", answered=True, reasons=["the process of echo is starting"])
    request = LogEvent("request", AT, 0, 1, Coordinates("requests.echo", 0, 5))
    snapshot = JobSnapshot("j", AT, processor="echo", workers=[starting], found=[request], members_known=True)
    text = next(each.text for each in explain(snapshot).reasons if each.code == "worker_not_ready")
    assert text == "1 worker of echo is not ready: the process of echo is starting."
