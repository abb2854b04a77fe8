"""A processor run with no Kafka, no registry and no database."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import ExitCode
from streams.cli.run import run
from tests.harness.volumes import ball, write_nifti


@pytest.fixture(autouse=True)
def _no_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No component of a stack is configured."""
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_the_typed_output_is_printed_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run-once", "echo", "--input", '{"message": "hi"}']) == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == {"message": "hi", "length": 2}


def test_json_has_the_version_and_the_device(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"message": "hi"}'))
    assert run(["run-once", "echo", "--input", "-", "--json", "--device", "cpu"]) == ExitCode.OK
    printed = json.loads(capsys.readouterr().out)
    assert (printed["processor"], printed["version"], printed["device"]) == ("echo", "1", "cpu")
    assert printed["output"] == {"message": "hi", "length": 2}


@pytest.mark.parametrize(
    ("input_", "words"),
    [
        ('{"message": "hi", "fail": "OUT_OF_MEMORY"}', "OUT_OF_MEMORY"),
        ('{"message": "hi", "delay_ms": -1}', "delay_ms must not be negative"),
    ],
)
def test_a_job_that_fails_says_with_which_error(capsys: pytest.CaptureFixture[str], input_: str, words: str) -> None:
    assert run(["run-once", "echo", "--input", input_]) == ExitCode.JOB_FAILED
    printed = capsys.readouterr()
    assert printed.out == ""
    assert words in printed.err
    assert "Traceback" not in printed.err


def test_debug_shows_where_it_failed(capsys: pytest.CaptureFixture[str]) -> None:
    failing = '{"message": "hi", "delay_ms": -1}'
    assert run(["run-once", "echo", "--debug", "--input", failing]) == ExitCode.JOB_FAILED
    assert "in prepare" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["ecko", "--input", "{}"], "echo"),
        (["echo", "--input", '{"mesage": "hi"}'], "has no field mesage"),
        (["echo", "--input", '{"message": 3}'], "must be string, not int"),
        (["echo", "--input", '{"message": "a"} {"message": "b"}'], "2 inputs"),
        (["echo", "--input", "[" * 100_000], "too deeply"),
        (["echo", "--input", '{"message": ' * 100_000], "too deeply"),
        (["echo", "--input", "nowhere.json"], "nowhere.json"),
        (["echo", "--input", '{"message": "hi"}', "--file", "message=x"], "does not take a file"),
        (["segmentation", "--file", "volume=nowhere.nii.gz"], "nowhere.nii.gz"),
        (["segmentation", "--input", '{"volume": "nowhere.nii.gz"}'], "nowhere.nii.gz"),
    ],
)
def test_an_input_that_does_not_match_the_contract_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], argv: list[str], words: str
) -> None:
    assert run(["run-once", *argv]) == ExitCode.USAGE
    assert words in capsys.readouterr().err


def test_a_volume_is_segmented_from_a_plain_file_and_the_mask_is_kept(tmp_path: Path, capsys: Any) -> None:
    scan = write_nifti(tmp_path / "scan.nii.gz", ball())
    out = tmp_path / "out"
    argv = [
        "run-once",
        "segmentation",
        "--file",
        f"volume={scan}",
        "--output-dir",
        str(out),
        "--device",
        "cpu",
    ]
    assert run(argv) == ExitCode.OK
    printed = capsys.readouterr()
    kept = list(out.iterdir())
    assert [path.as_uri() for path in kept] == [json.loads(printed.out)["mask"]["uri"]]
    assert "saved" in printed.err


def test_no_database_client_and_no_model_is_imported_for_one_that_needs_none() -> None:
    code = (
        "import sys\nfrom streams.cli.run import run\n"
        """assert run(["run-once", "echo", "--input", '{"message": "hi"}']) == 0\nprint(*sys.modules)"""
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert loaded & {"psycopg", "aiohttp", "torch"} == set()
