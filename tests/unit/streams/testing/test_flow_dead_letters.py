"""Records that could not be used are found, shown, and redriven after a fix: each run of a job ends in one outcome."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas import headers
from schemas.avsc import request_schema
from schemas.codec import FRAME
from schemas.contract import AnyContract, installed
from schemas.errors import ExitCode
from schemas.ids import new_id
from schemas.plain import to_plain
from schemas.records import ECHO, EchoInput, JobHeader, Request
from schemas.registry import MemoryRegistry
from streams import wiring
from streams.admin import topics
from streams.cli.run import run
from streams.log import kafka
from streams.sink.topic_table import print_topic_id, read_topics
from streams.testing import Flow
from streams.testing.services import Services
from streams.testing.worker import InProcessWorker
from streams.worker.child import results
from streams.worker.child.loader import load
from tests.unit.streams.testing.shout import SHOUT, Shout

Sluice = Callable[..., Any]
REQUESTS = "requests.echo"


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Flow]:
    with Flow("echo", partitions=1) as flow:
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", flow.settings.bootstrap)
        monkeypatch.setenv("SCHEMA_REGISTRY_URL", flow.settings.bootstrap)
        monkeypatch.setenv("DATABASE_URL", flow.settings.database)
        monkeypatch.setenv("SLUICE_HOME", str(flow.settings.home))
        yield flow


@pytest.fixture
def sluice(capsys: pytest.CaptureFixture[str]) -> Sluice:
    """Run `sluice dlq …` with --json and return what it printed; `code` is the expected exit status."""

    def call(*argv: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert run(["dlq", *argv, "--json"]) == code
        printed = capsys.readouterr().out
        return json.loads(printed) if printed else None

    return call


def publish(flow: Flow, value: bytes | None, fields: dict[str, str] | None = None, topic: str = REQUESTS) -> None:
    producer = flow.log.producer()
    producer.produce(topic, value, b"key", headers=[(name, text.encode()) for name, text in (fields or {}).items()])
    producer.flush()
    flow.settle()


def request(flow: Flow, job_id: str, made: AnyContract = ECHO) -> bytes:
    subject = f"{flow.settings.topics.requests(made.name)}-value"
    encoder = wiring.codec(flow.settings).encoder(subject, request_schema(made), register=True)
    return encoder.encode(to_plain(Request(JobHeader(job_id, made.name, flow.now, "a" * 64), EchoInput("hello"))))


def place_of(letter: dict[str, Any]) -> str:
    return f"{letter['topic']}[{letter['partition']}]@{letter['offset']}"


def only(sluice: Sluice, *options: str) -> dict[str, Any]:
    """Return the only open dead letter, as `sluice dlq list` and `show` see it."""
    [group] = sluice("list", *options)
    shown = sluice("show", group["fingerprint"])
    assert (group["letters"], shown["group"]["open"]) == (1, 1)
    assert sluice("show", place_of(shown["letter"]["letter"]))["letter"] == shown["letter"]
    letter: dict[str, Any] = shown["letter"]
    return letter


def redriven(flow: Flow, sluice: Sluice, *argv: str) -> None:
    sluice("redrive", *argv, "--detach")
    flow.settle()


def states(flow: Flow, job_id: str) -> list[str]:
    """Return the outcome of each run of a job, as `outcomes.echo` has them: one record a run."""
    runs = {
        each.header.run: str(each.result.disposition) for each in flow.outcomes("echo") if each.header.job_id == job_id
    }
    assert len(runs) == sum(each.header.job_id == job_id for each in flow.outcomes("echo"))
    return [runs[number] for number in sorted(runs)]


def edit(tmp_path: Path, *operations: dict[str, Any]) -> str:
    file = tmp_path / "patch.json"
    file.write_text(json.dumps(operations))
    return str(file)


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


def restart(flow: Flow) -> None:
    """Start the sink and the timekeeper again, so that they see new topics at once."""
    flow._services.close()
    flow._services = Services(flow.settings, threading.Event())


def enable(flow: Flow) -> None:
    """Start a worker for `shout`."""
    names = read_topics(kafka.admin(flow.settings), flow.settings).topics
    worker = InProcessWorker(
        flow.settings,
        "shout",
        [load(Shout(), "cpu", None)],
        topic_ids={name: print_topic_id(topic.topic_id) for name, topic in names.items()},
        now=flow.clock.now,
        is_cancelled=flow._is_cancelled,
        on_progress=flow._on_progress,
        on_text=flow._on_text,
    )
    flow._workers["shout"] = worker
    flow._open.callback(worker.close)
