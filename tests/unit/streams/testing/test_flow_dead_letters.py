"""Records that could not be used are found, shown, and redriven after a fix: each run of a job ends in one outcome."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas import headers
from schemas.avsc import request_schema
from schemas.codec import FRAME
from schemas.contract import installed
from schemas.errors import ExitCode
from schemas.ids import new_id
from schemas.records import ECHO
from schemas.registry import MemoryRegistry
from streams.admin import topics
from streams.cli.run import run
from streams.testing import Flow
from streams.worker.child import results
from tests.unit.streams.testing.dead_letter_kit import (
    REQUESTS,
    Sluice,
    edit,
    enable,
    only,
    place_of,
    publish,
    redriven,
    request,
    restart,
    states,
)
from tests.unit.streams.testing.shout import SHOUT


def test_an_undecodable_record_is_shown_as_hex_and_redriven_with_other_bytes(
    flow: Flow, sluice: Sluice, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = new_id()
    publish(flow, b"no avro", {headers.JOB: job})
    shown = only(sluice)
    assert shown["letter"]["reason"] == "UNDECODABLE"
    assert (bytes.fromhex(shown["hex"]), shown["value"]) == (b"no avro", None)
    assert "Confluent frame" in shown["undecodable"]
    assert shown["headers"][headers.JOB] == job
    assert shown["redrive"].startswith("A redrive would fail: ")
    assert run(["dlq", "show", place_of(shown["letter"])]) == 0
    assert "6e 6f 20 61 76 72 6f" in capsys.readouterr().out

    place = f"{shown['letter']['partition']}:{shown['letter']['offset']}"
    dry = sluice("redrive", place, "--dry-run")
    assert (dry["dead_letters"], dry["redrivable"], dry["refused"][0]["place"]) == (1, 0, place_of(shown["letter"]))
    redriven(flow, sluice, place)  # without a fix: its row fails, by name, and it is open again
    assert only(sluice)["letter"]["offset"] == shown["letter"]["offset"]

    patch = edit(tmp_path, {"op": "add", "path": "", "value": {"message": "mended"}})
    assert sluice("redrive", place, "--edit", patch, "--dry-run")["redrivable"] == 1
    redriven(flow, sluice, place, "--edit", patch, "--note", "typed by hand")
    assert states(flow, job) == ["failed", "succeeded"]
    assert sluice("list") == []
    [row] = sluice("list", "--each", "--state", "redriven")
    assert (row["state"], row["note"]) == ("redriven", "typed by hand")
    sluice("redrive", place, code=ExitCode.CONFLICT)


@pytest.mark.parametrize("named", [True, False])
def test_a_record_of_an_unknown_schema_is_redriven_once_the_schema_is_registered_again(
    flow: Flow, sluice: Sluice, named: bool
) -> None:
    job, registry = new_id(), MemoryRegistry.at(flow.settings.bootstrap)
    assert registry is not None
    lost = json.dumps({**json.loads(request_schema(ECHO)), "doc": "Written by another version."})
    value = FRAME.pack(0, len(registry._schemas) + 1) + request(flow, job)[FRAME.size :]
    publish(flow, value, {headers.JOB: job} if named else {"traceparent": "00-1-2-01"})
    shown = only(sluice, "--reason", "UNKNOWN_SCHEMA")
    assert shown["letter"]["job_id"] == (job if named else None)
    assert shown["redrivable"] is False
    registry.register(f"{REQUESTS}-value", lost)
    shown = only(sluice)
    assert (shown["redrivable"], shown["value"]["input"]["message"]) == (True, "hello")
    assert shown["redrive"] == (
        f"A redrive runs job {job} as run 1, through requests.echo.bulk."
        if named
        else "A redrive writes the record back to requests.echo, as it was."
    )
    redriven(flow, sluice, "--reason", "UNKNOWN_SCHEMA")
    assert states(flow, job) == (["failed", "succeeded"] if named else ["succeeded"])
    if not named:
        again = flow.records(REQUESTS)[-1]
        fields = dict(again.headers() or ())
        assert (again.value(), again.key(), fields["traceparent"]) == (value, b"key", b"00-1-2-01")
        assert set(fields) == {"traceparent", headers.REPLAY}
    assert sluice("list") == []


def test_a_record_over_a_limit_is_redriven_once_the_limit_is_raised(
    flow: Flow, sluice: Sluice, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as small:
        small.setattr(results, "LARGEST_RESULT", 10)
        job = flow.submit("echo", {"message": "hello"})
        flow.settle()
    shown = only(sluice, "--processor", "echo")
    assert (shown["letter"]["reason"], shown["letter"]["job_id"]) == ("PAYLOAD_TOO_LARGE", job)
    assert shown["value"]["input"]["message"] == "hello"
    redriven(flow, sluice, "--group", shown["letter"]["fingerprint"])
    assert states(flow, job) == ["failed", "succeeded"]
    assert sluice("list") == []


def test_records_of_an_unknown_processor_are_redriven_once_it_is_enabled(flow: Flow, sluice: Sluice) -> None:
    known = new_id()
    flow.log.create_topic("requests.shout", 1, {})
    restart(flow)
    publish(flow, request(flow, known, SHOUT), {headers.JOB: known}, "requests.shout")
    publish(flow, b"no avro", None, "requests.shout")
    [group] = sluice("list", "--processor", "shout")
    assert (group["reason"], group["letters"]) == ("UNKNOWN_PROCESSOR", 2)
    error = flow.job(known).error
    assert error is not None
    assert error.code == "UNKNOWN_PROCESSOR"
    dry = sluice("redrive", "--processor", "shout", "--dry-run")
    assert (dry["redrivable"], "no processor" in dry["refused"][0]["reason"]) == (0, True)
    with installed(SHOUT):
        topics.apply(flow.settings, [ECHO, SHOUT])
        restart(flow)
        enable(flow)
        dry = sluice("redrive", "--processor", "shout", "--dry-run")
        assert (dry["redrivable"], len(dry["refused"])) == (1, 1)
        redriven(flow, sluice, "--processor", "shout")
        runs = [(each.header.job_id, each.header.run, each.result.disposition) for each in flow.outcomes("shout")]
        assert runs == [(known, 1, "succeeded")]
