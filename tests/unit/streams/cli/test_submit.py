"""`sluice submit` with an idempotency key that was used before."""

from __future__ import annotations

import json

import pytest

from schemas.errors import Conflict, ExitCode
from schemas.records import EchoOutput
from streams.cli.submit import SubmitOptions, submit
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
