"""Explanations while Kafka, Postgres or the registry is away: the rest is explained, and the gap is said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.errors import ExitCode, Unreachable
from streams import wiring
from streams.cli.run import run
from streams.explain.collect import collect
from streams.explain.explain import Explanation, explain
from streams.log import kafka
from streams.testing import Flow

ECHO = {"message": "hello"}
Patch = pytest.MonkeyPatch
Printed = pytest.CaptureFixture[str]


@pytest.fixture
def flow(monkeypatch: Patch) -> Iterator[Flow]:
    with Flow("echo") as made:
        monkeypatch.setattr("streams.settings.load_settings", lambda: made.settings)
        yield made


def away(*_: object, **__: object) -> Any:
    raise Unreachable("It did not answer at secret:1234.")


def explained(flow: Flow, job: str, *, operator: bool = True) -> Explanation:
    return explain(collect(flow.settings, job), operator=operator)


def test_without_kafka_the_store_still_says_what_the_job_waits_for(flow: Flow, monkeypatch: Patch) -> None:
    job = flow.submit("echo", {**ECHO, "fail": "CONNECTION_ERROR"})
    flow.settle()
    with monkeypatch.context() as patch:
        patch.setattr(kafka, "_twin", away)
        found = explained(flow, job)
        hidden = explained(flow, job, operator=False)
    assert found.situation == "retry_waiting"
    assert found.unknown[0].startswith("Kafka did not answer (It did not answer at secret:1234), so how far")
    assert "secret" not in str(hidden)


def test_without_postgres_the_log_says_whether_the_job_has_a_result(flow: Flow, monkeypatch: Patch) -> None:
    waiting = flow.submit("echo", ECHO)
    with monkeypatch.context() as patch:
        patch.setattr(wiring, "job_store", away)
        found = explained(flow, waiting)
        assert found.situation == "request_not_stored"
        assert "it has no result yet" in found.headline
    flow.settle()
    with monkeypatch.context() as patch:
        patch.setattr(wiring, "job_store", away)
        done = explained(flow, waiting)
    assert (done.situation, [event.kind for event in done.events]) == ("sink_behind", ["request", "result"])
    assert done.unknown[0].startswith("Postgres did not answer")


def test_without_the_registry_only_what_the_request_holds_is_missing(flow: Flow, monkeypatch: Patch) -> None:
    job = flow.submit("echo", ECHO, max_attempts=7)
    flow.settle(worker=False)
    with monkeypatch.context() as patch:
        patch.setattr(wiring, "registry", away)
        found = explained(flow, job)
    assert found.situation == "next"
    assert [text.partition(" did")[0] for text in found.unknown] == ["The schema registry"]


def test_with_everything_away_nothing_is_known_and_the_command_says_so(
    flow: Flow, monkeypatch: Patch, capsys: Printed
) -> None:
    job = flow.submit("echo", ECHO)
    monkeypatch.setattr(wiring, "job_store", away)
    monkeypatch.setattr(kafka, "_twin", away)
    assert run(["explain", job]) == ExitCode.UNREACHABLE
    printed = capsys.readouterr()
    assert "Nothing is known of the job now: Postgres and Kafka did not answer." in printed.out
    assert "sluice doctor" in printed.err


# ── the command ──


def test_the_command_prints_the_headline_the_places_and_what_to_do(flow: Flow, capsys: Printed) -> None:
    flow.pause("echo")
    job = flow.submit("echo", ECHO)
    flow.settle()
    assert run(["explain", job]) == ExitCode.OK
    text = capsys.readouterr().out
    assert "The processor echo is paused since" in text
    assert "sluice resume echo" in text
    assert "requests.echo[" in text
    assert run(["explain", job, "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["situation"] == "paused"


def test_following_a_job_ends_with_it(flow: Flow, monkeypatch: Patch, capsys: Printed) -> None:
    flow.pause("echo")
    job = flow.submit("echo", ECHO)
    flow.settle()

    def settle(_: float) -> None:
        flow.resume("echo")
        flow.settle()

    # Only in the command: background threads sleep as well.
    monkeypatch.setattr("streams.cli.explain.time", SimpleNamespace(sleep=settle))
    assert run(["explain", job, "--follow"]) == ExitCode.OK
    first, last = capsys.readouterr().out.splitlines()[2], ""
    assert "paused" in first
    assert run(["explain", job]) == ExitCode.OK
    last = capsys.readouterr().out
    assert "It completed at" in last


def test_a_job_that_does_not_exist_and_text_that_is_no_id_are_errors(flow: Flow) -> None:
    assert run(["explain", "0198c0de-0000-7000-8000-000000000001"]) == ExitCode.NOT_FOUND
    assert run(["explain", "x"]) == ExitCode.USAGE
