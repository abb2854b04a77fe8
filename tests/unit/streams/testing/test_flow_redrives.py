"""Redrives of every kind of dead letter, whatever dies, and what is not redriven."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from connectors.memory import MemoryReplayStore
from connectors.replay_store import NewReplay, ReplayFilter
from schemas import headers
from schemas.errors import ExitCode
from schemas.ids import new_id
from schemas.states import Lane
from streams import wiring
from streams.testing import Flow
from streams.worker.child import results
from tests.unit.streams.testing.dead_letter_kit import (
    REQUESTS,
    Sluice,
    edit,
    only,
    place_of,
    publish,
    redriven,
    request,
    states,
)


def test_a_dead_letter_that_came_without_its_value_is_redriven_from_its_original(
    flow: Flow, sluice: Sluice, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.log.topic("dead-letters").config["max.message.bytes"] = "900"
    with monkeypatch.context() as small:
        small.setattr(results, "LARGEST_RESULT", 10)
        job = flow.submit("echo", {"message": "hello " * 100})
        flow.settle()
    shown = only(sluice)
    assert (shown["letter"]["bytes"], shown["without_value"]) == (None, True)
    assert shown["value"]["input"]["message"].startswith("hello hello")
    redriven(flow, sluice, "--job", job)
    assert states(flow, job) == ["failed", "succeeded"]


@pytest.mark.parametrize(("partition", "offset"), [(0, 2**63), (2**31, 0), (0, -(2**63) - 1)])
def test_a_dead_letter_with_impossible_numbers_of_its_origin_is_shown_and_has_none(
    flow: Flow, sluice: Sluice, partition: int, offset: int
) -> None:
    reasons = headers.dead_letter_headers(
        reason="UNDECODABLE", message="m", topic=REQUESTS, partition=partition, offset=offset, attempts=1, worker="w"
    )
    publish(flow, None, {name: text.decode() for name, text in reasons.items()}, "dead-letters")
    shown = only(sluice)
    assert (shown["value"], shown["redrivable"]) == (None, False)


def test_a_dead_letter_of_a_shadow_run_makes_no_run_that_counts(flow: Flow, sluice: Sluice) -> None:
    job, bulk = flow.submit("echo", {"message": "x"}), flow.settings.topics.requests("echo", Lane.BULK)
    flow.settle()
    with wiring.replay_store(flow.settings) as store:
        made = NewReplay(new_id(), "me", "", mode="shadow", to_version="9.9")
        store.start(made, ReplayFilter(job_ids=[job]))
        flow.settle(worker=False)
    [record] = flow.records(bulk)
    reasons = headers.dead_letter_headers(
        reason="WORKER_LOST", message="m", topic=bulk, partition=0, offset=record.offset() or 0, attempts=3, worker="w"
    )
    own: dict[str, Any] = dict(record.headers() or ())
    fields = {name: value.decode() for name, value in (own | reasons).items()}
    publish(flow, record.value(), fields, "dead-letters")
    publish(flow, b"junk", fields, "dead-letters")
    redriven(flow, sluice, "--reason", "WORKER_LOST")
    assert (len(flow.records(bulk)), flow.job(job).run, flow.job(job).state) == (1, 0, "COMPLETED")


def test_unreadable_bytes_of_a_known_job_are_redriven_with_the_fields_of_the_job(
    flow: Flow, sluice: Sluice, tmp_path: Path
) -> None:
    fields: dict[str, Any] = {"tenant": "clinic", "case_id": "c7", "external_id": "E1", "labels": {"a": "b"}}
    job = flow.submit("echo", {"message": "x", "fail": "INTERNAL"}, callback_url="http://clinic.example/x", **fields)
    flow.settle()
    publish(flow, b"junk", {headers.JOB: job})
    patch = tmp_path / "patch.json"
    patch.write_text('[{"op": "add", "path": "", "value": {"message": "mended"}}]')
    redriven(flow, sluice, "--reason", "UNDECODABLE", "--edit", str(patch))
    view = flow.job(job)
    assert (view.run, view.state, view.output["message"]) == (1, "COMPLETED", "mended")
    header = flow.outcomes("echo")[-1].header
    assert {name: getattr(header, name) for name in fields} == fields
    assert [callback.url for callback in flow.callbacks] == ["http://clinic.example/x"] * 2


def test_contradicting_headers_and_a_lost_worker_need_no_other_bytes(flow: Flow, sluice: Sluice) -> None:
    contradicted, lost = new_id(), new_id()
    publish(flow, request(flow, contradicted), {headers.JOB: new_id()})
    value = request(flow, lost)
    reasons = headers.dead_letter_headers(
        reason="WORKER_LOST", message="It died.", topic=REQUESTS, partition=0, offset=0, attempts=3, worker="w"
    )
    fields = {headers.JOB: lost, **{name: text.decode() for name, text in reasons.items()}}
    publish(flow, value)
    publish(flow, value, fields, "dead-letters")
    assert {group["reason"] for group in sluice("list")} == {"HEADER_MISMATCH", "WORKER_LOST"}
    redriven(flow, sluice, "--processor", "echo")
    assert states(flow, contradicted) == ["failed", "succeeded"]
    assert states(flow, lost) == ["succeeded", "succeeded"]


def test_a_record_that_was_dead_lettered_twice_is_redriven_once(flow: Flow, sluice: Sluice) -> None:
    job = flow.submit("echo", {"message": "hello"})
    flow.settle()
    reasons = headers.dead_letter_headers(
        reason="WORKER_LOST", message="It died.", topic=REQUESTS, partition=0, offset=0, attempts=3, worker="w"
    )
    fields = {headers.JOB: job, **{name: text.decode() for name, text in reasons.items()}}
    value = flow.records(REQUESTS)[0].value()
    publish(flow, value, fields, "dead-letters")
    publish(flow, value, fields, "dead-letters")
    assert sluice("redrive", "--job", job, "--dry-run")["dead_letters"] == 1
    redriven(flow, sluice, "--job", job)
    assert states(flow, job) == ["succeeded", "succeeded"]
    assert sluice("list") == []


def test_a_timekeeper_that_dies_before_it_marks_publishes_again_and_makes_no_second_run(
    flow: Flow, sluice: Sluice, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    named = new_id()
    publish(flow, b"no avro", {headers.JOB: named})
    publish(flow, b"no avro and no job")
    patch = edit(tmp_path, {"op": "add", "path": "", "value": {"message": "mended"}})
    with monkeypatch.context() as dying:
        dying.setattr(MemoryReplayStore, "mark", lambda *_: None)
        sluice("redrive", "--processor", "echo", "--edit", patch, "--detach")
        for duty in flow._services._duties:
            duty.run_once()
    flow.advance(1)
    flow.settle()
    runs = Counter((each.header.job_id, each.header.run, each.result.disposition) for each in flow.outcomes("echo"))
    assert sorted(runs.values()) == [1, 1, 1]
    assert sorted(run for _, run, disposition in runs if disposition == "succeeded") == [0, 1]
    assert len(flow.records("requests.echo.bulk")) > 2


def test_results_are_not_redriven_and_the_reason_says_what_to_do(flow: Flow, sluice: Sluice) -> None:
    job = flow.submit("echo", {"message": "hello"})
    flow.settle(worker=False)
    publish(flow, b"no avro", {headers.JOB: job}, "results.echo")
    [letter] = sluice("list", "--each", "--reason", "UNDECODABLE")
    assert "sluice replay" in sluice("show", place_of(letter))["letter"]["redrive"]
    redriven(flow, sluice, place_of(letter))
    assert sluice("list", "--each")[0]["state"] == "open"


def test_of_an_erased_case_neither_message_nor_value_is_shown_and_nothing_is_redriven(
    flow: Flow, sluice: Sluice
) -> None:
    with pytest.MonkeyPatch.context() as small:
        small.setattr(results, "LARGEST_RESULT", 10)
        flow.submit("echo", {"message": "Kim Minsoo"}, case_id="Kim")
        flow.settle()
    assert "Kim" in str(only(sluice)["value"])
    with wiring.retention_store(flow.settings) as store:
        store.erase("default", "Kim", "ann", 0)
    shown = only(sluice)
    assert "Kim" not in str(shown)
    assert (shown["value"], shown["redrivable"]) == (None, False)
    redriven(flow, sluice, place_of(shown["letter"]))
    assert len(flow.outcomes("echo")) == 1


def test_a_dropped_dead_letter_is_kept_with_who_and_why_and_its_record_stays(flow: Flow, sluice: Sluice) -> None:
    publish(flow, b"no avro")
    assert sluice("drop", "0:0", "--reason", "a test of ours", "--dry-run")["dead_letters"] == 1
    assert sluice("drop", "dead-letters[0]@0", "--reason", "a test of ours") == {"dead_letters": 1, "dry_run": False}
    assert sluice("list") == []
    [row] = sluice("list", "--each", "--state", "dropped")
    assert (row["note"], row["changed_by"] is not None) == ("a test of ours", True)
    assert len(flow.records("dead-letters")) == 1
    sluice("drop", "0:0", "--reason", "again", code=ExitCode.CONFLICT)
    sluice("drop", "0:7", "--reason", "none there", code=ExitCode.NOT_FOUND)
    sluice("redrive", code=ExitCode.USAGE)
    sluice("redrive", "0:0", "--group", "0" * 12, code=ExitCode.USAGE)
    sluice("show", "requests.echo[0]@0", code=ExitCode.USAGE)
