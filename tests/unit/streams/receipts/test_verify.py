"""`sluice verify` finds whatever differs from what a result's receipt says, and says what it could not compare."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from connectors.claim_uris import content_key
from connectors.memory import MemoryDatabase
from connectors.memory.tables import StoredOutcome
from processors.protocol import LoadContext
from schemas.errors import ExitCode, StartupError
from schemas.records import Claim
from streams import wiring
from streams.cli.run import run
from streams.receipts.checks import differences
from streams.testing import Flow
from tests.unit.streams.receipts.conftest import Masker, Submit

Verify = Callable[..., dict[str, Any]]


@pytest.fixture
def verify(flow: Flow, masker: Masker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Verify:
    """Run `sluice verify … --json`; returns the results by the names of their checks, with those of details."""
    monkeypatch.setattr("streams.receipts.installed.find_processor", lambda *_: masker)

    def call(job_id: str, *options: str, code: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        assert run(["verify", job_id, *options, "--json"]) == code
        report = json.loads(capsys.readouterr().out)
        assert report["verified"] is (code == 0)
        return {check["name"]: (check["result"], check["detail"]) for check in report["checks"]}

    return call


def differing(checks: dict[str, Any]) -> list[str]:
    return [name for name, (result, _) in checks.items() if result == "differs"]


def outcome(flow: Flow) -> StoredOutcome:
    (row,) = _database(flow).outcomes.values()
    return row


def _database(flow: Flow) -> MemoryDatabase:
    found = wiring._memory(flow.settings)
    assert found is not None
    return found


def test_an_outcome_as_it_was_made_is_verified_and_so_is_a_rerun(
    submit: Submit, verify: Verify, masker: Masker
) -> None:
    checks = verify(submit(), "--rerun")
    assert {result for result, _ in checks.values()} == {"ok"}
    assert list(checks) == ["input", "record", "file mask", "input file volume", "code", "model", "rerun"]
    assert masker.runs == 2


def test_a_changed_row_differs_from_its_record(submit: Submit, flow: Flow, verify: Verify) -> None:
    job = submit()
    row = outcome(flow)
    row.output = (row.output or b"").replace(b'"lesion_count":1', b'"lesion_count":0')
    checks = verify(job, code=ExitCode.PARTIAL)
    assert differing(checks) == ["record"]
    assert "output.lesion_count by 1" in checks["record"][1]


@pytest.mark.parametrize("field", ["model_sha256", "code_version", "reused_from", "device", "refs", "error_code"])
def test_a_changed_column_of_the_receipt_differs_too(submit: Submit, flow: Flow, verify: Verify, field: str) -> None:
    job = submit()
    setattr(outcome(flow), field, b"[]" if field == "refs" else "another:0")
    assert "record" in differing(verify(job, code=ExitCode.PARTIAL))


def test_a_changed_file_and_a_missing_one_differ(submit: Submit, flow: Flow, verify: Verify, volume: Claim) -> None:
    job = submit()
    (mask,) = flow.job(job).refs
    stored = flow.settings.home / "objects" / content_key(mask.sha256)
    stored.write_bytes(bytes(mask.size))
    assert differing(verify(job, code=ExitCode.PARTIAL)) == ["file mask"]
    stored.unlink()
    assert differing(verify(job, code=ExitCode.PARTIAL)) == ["file mask"]


def test_a_missing_input_file_only_leaves_that_check_open(
    submit: Submit, flow: Flow, verify: Verify, volume: Claim
) -> None:
    job = submit()
    wiring.object_store(flow.settings).delete(volume.sha256)
    assert verify(job)["input file volume"] == ("can't be checked", "the file is no longer stored")


def test_another_input_differs(submit: Submit, flow: Flow, verify: Verify) -> None:
    job = submit()
    for row in _database(flow).jobs.values():
        row.input_sha256 = "cd" * 32
    assert differing(verify(job, code=ExitCode.PARTIAL)) == ["input"]


def test_other_weights_differ(submit: Submit, verify: Verify, masker: Masker) -> None:
    job = submit()
    masker.model_sha256 = "fe" * 32
    checks = verify(job, code=ExitCode.PARTIAL)
    assert differing(checks) == ["model"]
    assert "abababab" in checks["model"][1]
    assert "fefefefe" in checks["model"][1]


def test_an_altered_file_of_weights_differs_and_is_named(
    submit: Submit, verify: Verify, masker: Masker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job = submit()
    (tmp_path / "lesions.bin").write_bytes(b"altered")
    monkeypatch.setenv("SLUICE_WEIGHTS_DIR", str(tmp_path))

    def load(ctx: LoadContext) -> None:
        ctx.weights("lesions.bin", "ab" * 32)

    monkeypatch.setattr(masker, "load", load)
    checks = verify(job, code=ExitCode.PARTIAL)
    assert differing(checks) == ["model"]
    assert checks["model"][1].startswith("lesions.bin hashes to ")


def test_a_version_that_is_not_installed_leaves_model_code_and_rerun_open(
    submit: Submit, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str, version: str) -> Masker:
        raise StartupError("no such version")

    job = submit()
    monkeypatch.setattr("streams.receipts.installed.find_processor", missing)
    checks = verify(job, "--rerun")
    assert checks["model"] == ("can't be checked", "version 1 is not installed here (STARTUP)")
    assert checks["rerun"] == ("can't be checked", "version 1 is not installed here")


def test_other_code_is_said_and_is_no_difference(
    submit: Submit, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit()
    monkeypatch.setattr("streams.receipts.installed.code_version", lambda _: "sluice-9+00")
    assert verify(job)["code"][0] == "can't be checked"


def test_a_rerun_that_computes_something_else_differs(
    submit: Submit, verify: Verify, masker: Masker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(items: Sequence[bytes]) -> Sequence[bytes]:
        return [b"other" for _ in items]

    job = submit()
    monkeypatch.setattr(masker, "run", other)
    checks = verify(job, "--rerun", code=ExitCode.PARTIAL)
    assert differing(checks) == ["rerun"]
    assert "output.mask.sha256" in checks["rerun"][1]


def test_a_failure_is_verified_by_its_code(submit: Submit, verify: Verify) -> None:
    assert verify(submit(threshold=2.0), "--rerun")["rerun"] == ("ok", "fails with INVALID_INPUT, too")


def test_records_that_have_left_the_log_leave_their_checks_open(
    submit: Submit, flow: Flow, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit()
    monkeypatch.setattr("streams.receipts.verify._value", lambda _: None)
    checks = verify(job, "--rerun")
    assert checks["input"] == checks["rerun"] == ("can't be checked", "the request has left the log")
    assert checks["record"] == ("can't be checked", "the result has left the log")


def test_a_reused_output_is_compared_with_that_of_its_run(submit: Submit, flow: Flow, verify: Verify) -> None:
    first, second = submit(), submit()
    assert verify(second)["reused from"] == ("ok", f"{first}:0")
    rows = {row.job_id: row for row in _database(flow).outcomes.values()}
    row = next(row for row in rows.values() if row.reused_from is None)
    row.output = (row.output or b"").replace(b'"lesion_count":1', b'"lesion_count":7')
    assert differing(verify(second, code=ExitCode.PARTIAL)) == ["reused from"]


def test_differences_name_fields_and_never_quote_a_value() -> None:
    ours = {"a": [1, {"b": "Kim"}], "c": 2.5, "d": None}
    theirs = {"a": [1, {"b": "Minsoo"}], "c": 2.0, "e": 1}
    assert list(differences(ours, theirs)) == ["a[1].b", "c by 0.5", "e"]
    assert list(differences([1], [1, 2])) == ["output: 1 items, stored are 2"]
