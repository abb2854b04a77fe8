"""A stored job runs again in this process, from the exact bytes in the log."""

from __future__ import annotations

import json
import pdb
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from processors import code_version
from processors.echo import Echo
from schemas.errors import ExitCode, Unreachable
from streams import wiring
from streams.cli.run import run
from streams.testing import Flow

Printed = pytest.CaptureFixture[str]


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Flow]:
    with Flow("echo") as made:
        monkeypatch.setattr("streams.settings.load_settings", lambda: made.settings)
        yield made


def ended(flow: Flow, **input_: Any) -> str:
    job = flow.submit("echo", {"message": "hello", **input_})
    flow.settle()
    return job


def test_the_output_is_the_same_and_the_exact_bytes_are_kept(flow: Flow, tmp_path: Path, capsys: Printed) -> None:
    job = ended(flow)
    assert run(["repro", job, "--output-dir", str(tmp_path)]) == ExitCode.OK
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"message": "hello", "length": 5}
    assert "Reproduced: the output is the same." in printed.err
    assert "differs" not in printed.err
    [request] = flow.records("requests.echo")
    assert (tmp_path / "request.avro").read_bytes() == request.value()


def test_an_error_is_reproduced_with_its_traceback_and_the_debugger_opens_at_it(
    flow: Flow, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    job = ended(flow, delay_ms=-1)
    opened: list[Any] = []
    monkeypatch.setattr(pdb, "post_mortem", opened.append)
    assert run(["repro", job, "--pdb"]) == ExitCode.OK
    said = capsys.readouterr().err
    assert "in prepare" in said
    assert "Reproduced: here it failed with INVALID_INPUT as well at the same place." in said
    assert len(opened) == 1


def test_a_fix_shows_as_a_difference(flow: Flow, monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> None:
    job = ended(flow, delay_ms=-1)
    monkeypatch.setattr(Echo, "prepare", lambda self, job, ctx: job.input)
    monkeypatch.setattr(Echo, "run", lambda self, items: items)
    monkeypatch.setattr(code_version, "code_version", lambda processor: "sluice-9+fixed")
    assert run(["repro", job, "--json"]) == ExitCode.PARTIAL
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert "Different: it failed with INVALID_INPUT, here it completed." in printed.err
    assert [each.partition(":")[0] for each in report["differences"]] == ["code"]
    assert (report["reproduced"], report["stored_error"]["code"]) == (False, "INVALID_INPUT")


def test_another_version_and_other_weights_are_named(
    flow: Flow, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    job = ended(flow)
    monkeypatch.setattr(Echo, "version", "2")
    monkeypatch.setattr(Echo, "model_sha256", "f" * 64)
    monkeypatch.setattr(Echo, "finish", lambda self, job, raw, ctx: self.result(raw.message.upper(), 5))
    assert run(["repro", job]) == ExitCode.PARTIAL
    said = capsys.readouterr().err
    assert "differs: version 1 ran it, and is not installed here" in said
    assert "output differs: message:" in said


def test_an_earlier_attempt_is_compared_with_its_own_result(flow: Flow, capsys: Printed) -> None:
    job = ended(flow, fail="CONNECTION_ERROR")
    flow.advance(300)
    flow.settle()
    assert run(["repro", job, "--attempt", "1"]) == ExitCode.OK
    assert "attempt 1" in capsys.readouterr().err


def test_without_postgres_the_log_alone_has_the_job(
    flow: Flow, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    job = ended(flow)

    def away(_: object) -> Any:
        raise Unreachable("Postgres did not answer.")

    monkeypatch.setattr(wiring, "job_store", away)
    assert run(["repro", job]) == ExitCode.OK
    assert "Reproduced: the output is the same." in capsys.readouterr().err


def test_an_unknown_job_and_bytes_that_are_no_request_are_said(flow: Flow, capsys: Printed) -> None:
    assert run(["repro", "0198c0de-0000-7000-8000-000000000001"]) == ExitCode.NOT_FOUND
    assert run(["repro", "x"]) == ExitCode.USAGE
    capsys.readouterr()
    job = "0198c0de-0000-7000-8000-000000000002"
    producer = flow.log.producer()
    fields = [
        ("sluice-job", job.encode()),
        ("sluice-run", b"0"),
        ("sluice-attempt", b"1"),
        ("sluice-processor", b"echo"),
    ]
    producer.produce("requests.echo", b"no avro", job.encode(), headers=fields)
    producer.flush()
    flow.settle()
    assert run(["repro", job]) == ExitCode.OK
    said = capsys.readouterr().err
    assert "can't be decoded" in said
    assert b"no avro".hex(" ") in said
