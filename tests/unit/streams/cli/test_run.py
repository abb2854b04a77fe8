"""Errors become a message, a next step and an exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.errors import Conflict, ExitCode, InvalidInput, NotFound, SluiceError, Unreachable
from streams.cli import run as module
from streams.cli.run import run

SLUICE = [sys.executable, "-m", "streams.cli"]


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make every command fail with this error."""

    def fail(tokens: list[str]) -> None:
        raise error

    monkeypatch.setattr(module, "build", lambda: fail)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("gone"), ExitCode.NOT_FOUND),
        (Unreachable("away"), ExitCode.UNREACHABLE),
        (Conflict("other"), ExitCode.CONFLICT),
        (InvalidInput("refused at the door"), ExitCode.USAGE),
        (SluiceError("broken"), ExitCode.INTERNAL),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (ZeroDivisionError("a bug"), ExitCode.INTERNAL),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_each_error_has_its_exit_status(monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int) -> None:
    raising(monkeypatch, error)
    assert run(["status"]) == status


def test_an_error_is_printed_with_the_next_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, Unreachable("Kafka did not answer.", next_step="Run `sluice up`."))
    run(["status"])
    printed = capsys.readouterr()
    assert printed.err == "error: Kafka did not answer.\n  Run `sluice up`.\n"
    assert printed.out == ""


def test_with_json_an_error_is_json_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    raising(monkeypatch, NotFound("There is no such job.", next_step="Look at `sluice jobs`."))
    run(["job", "x", "--json"])
    assert json.loads(capsys.readouterr().err) == {
        "error": {
            "code": "NOT_FOUND",
            "message": "There is no such job.",
            "next_step": "Look at `sluice jobs`.",
            "exit_code": 5,
        }
    }


def test_a_bug_hides_its_traceback_until_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, ZeroDivisionError("a bug"))
    run(["status"])
    assert capsys.readouterr().err == (
        "error: ZeroDivisionError: a bug\n  This is a bug in sluice; `--debug` shows the traceback.\n"
    )
    run(["--debug", "status"])
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_debug_after_a_double_dash_belongs_to_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(module, "build", lambda: seen.append)
    run(["--debug", "status", "--", "--debug"])
    assert seen == [["status", "--", "--debug"]]


def test_the_error_for_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sumbit"]) == ExitCode.USAGE
    assert "Did you mean `sluice submit`?" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["submit"], ["submit", "echo", "--wiat"], ["topics", "aply"], ["--nonsense"]])
def test_wrong_usage_is_status_two_and_points_to_the_help(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(argv) == ExitCode.USAGE
    assert "--help`" in capsys.readouterr().err


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == ExitCode.OK
    assert capsys.readouterr().out.startswith("sluice 0.")


@pytest.mark.parametrize("argv", [["status", "--json"], []], ids=["a command", "the overview"])
def test_a_closed_pipe_is_no_error(tmp_path: Path, argv: list[str]) -> None:
    """Run a command whose output has no reader any more, like `sluice status --json | true`."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run([*SLUICE, *argv], stdout=write_end, stderr=subprocess.PIPE, cwd=tmp_path)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (ExitCode.OK, b"")


def test_a_duration_without_a_unit_is_refused_with_the_form_to_write(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["submit", "echo", "--delay", "30"]) == ExitCode.USAGE
    assert "--delay: '30' is not a number with a unit. Write 30s, 5m, 2h or 1d." in capsys.readouterr().err


@pytest.mark.parametrize("text", ["999999999d", "-5m", "40000d", "99999999999999999999d"])
@pytest.mark.parametrize("option", ["--delay", "--deadline"])
def test_a_duration_that_no_time_can_have_is_refused_by_name(
    capsys: pytest.CaptureFixture[str], option: str, text: str
) -> None:
    assert run(["submit", "echo", f"{option}={text}"]) == ExitCode.USAGE
    assert option in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_console_that_is_not_utf_8_gets_escapes(encoding: str, form: list[str]) -> None:
    done = subprocess.run(
        [*SLUICE, "run-once", "echo", "--input", "-", *form],
        input='{"message": "Łódź → 🧠"}'.encode(),
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == ExitCode.OK, done.stderr
    printed = json.loads(done.stdout.decode(encoding))
    assert (printed["output"] if form else printed)["message"] == "Łódź → 🧠"


def test_text_that_a_console_can_not_print_is_escaped() -> None:
    done = subprocess.run(
        [*SLUICE, "submit", "Łódź"],
        env=os.environ | {"PYTHONIOENCODING": "ascii", "SLUICE_LOG_LEVEL": "error"},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == ExitCode.USAGE
    assert rb"There is no processor '\u0141\xf3d\u017a'" in done.stderr


def test_text_on_stdout_that_a_console_can_not_print_is_escaped(tmp_path: Path) -> None:
    own = {"PYTHONIOENCODING": "ascii", "SLUICE_HOME": str(tmp_path / "Łódź")}
    without_stack = {name: value for name, value in os.environ.items() if not name.endswith(("_SERVERS", "_URL"))}
    done = subprocess.run([*SLUICE, "status"], env=without_stack | own, capture_output=True, timeout=60)
    assert done.returncode == ExitCode.UNREACHABLE, done.stderr
    assert rb"\u0141\xf3d\u017a" in done.stdout


def test_standard_input_that_is_not_utf_8_is_refused() -> None:
    done = subprocess.run(
        [*SLUICE, "run-once", "echo", "--input", "-"], input=b"\xff{}", capture_output=True, timeout=60
    )
    assert done.returncode == ExitCode.USAGE
    assert b"Standard input is not UTF-8" in done.stderr


JOB = "019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10"


@pytest.mark.parametrize("value", ["99999999999", "-1"])
@pytest.mark.parametrize(
    "command", [["job", JOB, "--run"], ["cancel", JOB, "--run"], ["jobs", "-n"], ["tail", "echo", "-n"]]
)
def test_a_number_that_the_database_can_not_hold_is_refused(
    capsys: pytest.CaptureFixture[str], command: list[str], value: str
) -> None:
    assert run([*command, value]) == ExitCode.USAGE
    assert "Must be" in capsys.readouterr().err
