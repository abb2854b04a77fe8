"""`sluice submit` with an idempotency key that was used before, and with a wait that is too short."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from connectors.job_store import JobStore
from schemas.errors import Conflict, ExitCode, InvalidInput, Unreachable
from schemas.records import EchoOutput
from streams.cli.submit import SubmitOptions, submit
from streams.settings import Settings
from streams.testing import Flow


def test_a_key_used_before_with_another_input_is_a_conflict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = SubmitOptions(idempotency_key="k")
    with Flow("echo") as flow:
        monkeypatch.setattr("streams.settings.load_settings", lambda: flow.settings)
        flow.submit("echo", {"message": "one"}, idempotency_key="k")
        flow.settle()
        assert submit("echo", input_=json.dumps({"message": "one"}), wait=True, options=key) == ExitCode.OK
        assert "submitted before with the same idempotency key" in capsys.readouterr().err
        with pytest.raises(Conflict, match="another input") as raised:
            submit("echo", input_=json.dumps({"message": "two"}), wait=True, options=key)
        assert raised.value.exit_code == ExitCode.CONFLICT
        flow.settle()
        assert [outcome.output for outcome in flow.outcomes("echo")] == [EchoOutput("one", 3)]


def test_of_many_inputs_none_is_submitted_if_one_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Submitting again after mending the line would double the others."""
    lines = [json.dumps({"message": "x"})] * 20 + [json.dumps({"message": 2})]
    (tmp_path / "jobs.jsonl").write_text("\n".join(lines))
    with Flow("echo") as flow:
        monkeypatch.setattr("streams.settings.load_settings", lambda: flow.settings)
        with pytest.raises(InvalidInput, match=r"Input 21 of 21: .*message: it must be string") as raised:
            submit("echo", input_=str(tmp_path / "jobs.jsonl"))
        flow.settle()
        assert flow.outcomes("echo") == []
    assert "Nothing was submitted" in str(raised.value)


def test_without_a_wait_a_conflict_of_keys_is_noticed_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = SubmitOptions(idempotency_key="k")
    with Flow("echo") as flow:
        monkeypatch.setattr("streams.settings.load_settings", lambda: flow.settings)
        first = flow.submit("echo", {"message": "one"}, idempotency_key="k")
        flow.settle()
        assert submit("echo", input_=json.dumps({"message": "one"}), options=key) == ExitCode.OK
        assert capsys.readouterr().out.strip() == first
        with pytest.raises(Conflict, match="another input"):
            submit("echo", input_=json.dumps({"message": "two"}), options=key)


def test_a_key_can_be_used_while_the_database_is_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def away(settings: Settings) -> JobStore:
        raise Unreachable("Postgres did not answer.")

    with Flow("echo") as flow:
        monkeypatch.setattr("streams.settings.load_settings", lambda: flow.settings)
        monkeypatch.setattr("streams.wiring.job_store", away)
        assert submit("echo", input_='{"message": "x"}', options=SubmitOptions(idempotency_key="k")) == ExitCode.OK
        assert "not checked" in capsys.readouterr().err


def test_a_job_that_did_not_finish_in_time_is_printed_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Flow("echo") as flow:
        monkeypatch.setattr("streams.settings.load_settings", lambda: flow.settings)
        status = submit("echo", input_='{"message": "x"}', wait=True, timeout=0.05, json=True)
        printed = json.loads(capsys.readouterr().out)
        assert status == ExitCode.WAIT_TIMED_OUT
        assert (printed["processor"], printed["state"]) == ("echo", None)
        flow.settle()
        assert flow.job(printed["job_id"]).state == "COMPLETED"


def test_a_callback_profile_is_sent_with_the_job() -> None:
    assert SubmitOptions(callback_profile="old-backend").for_submitter() == {"callback_profile": "old-backend"}
