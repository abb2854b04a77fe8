"""`sluice doctor` lists processors and routes, and imports as the worker does, on any console and from any folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.app import create_app
from gateway.ports import Ports
from gateway.route_list import groups, routes_of
from schemas.contract import installed
from schemas.errors import ExitCode, StartupError
from schemas.records import ECHO
from streams.cli.check import Check, Severity
from streams.cli.doctor import doctor
from streams.cli.unserved import say_if_unserved
from streams.environment import python_module
from streams.settings import Settings
from streams.worker.child.loader import load_versions
from tests.harness.gateway_app import memory_settings
from tests.harness.packages import ROOT, install

BROKEN = """import a_module_that_is_not_there"""
SHADOW = """raise SystemExit('this folder shadows a package')"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with a Korean name, with folders that are named as packages of sluice and of users are."""
    made = tmp_path / "내 문서 모음"
    for name in ("models", "schemas", "streams", "processors"):
        (made / name).mkdir(parents=True)
        (made / name / "__init__.py").write_text(SHADOW)
    return made


@pytest.fixture
def broken(tmp_path: Path) -> str:
    """Return a path with a processor whose module imports another that is not installed, in a folder with a Korean name, and
    with the bare contract of another."""
    code = tmp_path / "고장"
    code.mkdir()
    (code / "broken_processor.py").write_text(BROKEN)
    path = install(
        tmp_path / "site",
        "broken",
        "tests.harness.processors.killer:KILLER",
        {"broken": "broken_processor:Broken"},
        optional=True,
    )
    bare = install(tmp_path / "bare", "bare", "tests.harness.processors.killer:KILLER", {})
    return os.pathsep.join([path, bare, str(code)])


def ran(folder: Path | str, *argv: str, path: str = str(ROOT), **variables: str) -> subprocess.CompletedProcess[bytes]:
    bare = {name: value for name, value in os.environ.items() if not name.endswith(("_SERVERS", "_URL"))}
    own = {"PYTHONPATH": path, "SLUICE_DEVICE": "cpu", **variables}
    return subprocess.run(
        python_module("streams.cli", *argv), cwd=folder, env=bare | own, capture_output=True, timeout=120
    )


def test_the_doctor_on_a_korean_console_in_a_korean_folder(folder: Path, broken: str) -> None:
    own = {"PYTHONIOENCODING": "cp949", "SLUICE_PROCESSORS": "echo,broken", "SLUICE_HOME": str(folder / "집")}
    done = ran(folder, "doctor", PYTHONPATH=broken, **own)
    text = done.stdout.decode("cp949")
    assert done.returncode == ExitCode.UNREACHABLE, done.stderr
    assert "version 1 of processors.echo, imported in" in text
    assert re.search(r"not served here: SLUICE_PROCESSORS=\S+,segmentation would serve it", text)
    assert re.search(r"processor bare +only its contract is installed", text)
    assert "POST /v1/jobs, GET /v1/jobs" in text
    assert "not served, SLUICE_GATEWAY_BRAIN_TUMOUR=true opens them: POST /api/ai/inferences/" in text
    assert "Traceback (most recent call last):" in text
    assert "ModuleNotFoundError: No module named 'a_module_that_is_not_there'" in text
    assert "고장" in text
    assert "내 문서 모음" in text


def test_a_processor_that_can_not_be_imported_is_a_problem_in_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = [
        Check("kafka", Severity.OK, "1 broker"),
        Check("processor mri", Severity.PROBLEM, "can't start\nTraceback", "Correct it."),
    ]
    monkeypatch.setattr("streams.cli.doctor_checks.run_checks", lambda settings: checks)
    assert doctor() == ExitCode.PARTIAL
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:3]] == [["problem", "processor", "mri", "can't", "start"], ["Traceback"]]


@pytest.mark.parametrize("anywhere", ["/", None])
def test_processors_start_from_any_folder_and_no_folder_shadows_a_module(folder: Path, anywhere: str | None) -> None:
    done = ran(anywhere or folder, "run-once", "echo", "--input", '{"message": "여기"}', PYTHONIOENCODING="cp949")
    assert done.returncode == ExitCode.OK, done.stderr
    assert json.loads(done.stdout.decode("cp949")) == {"message": "여기", "length": 2}


def test_the_list_of_routes_is_that_of_the_gateway_with_all_doors_open(tmp_path: Path) -> None:
    fields = Settings.model_fields.items()
    doors = {name: True for name, field in fields if name.startswith("gateway_") and field.default is False}
    everything = memory_settings(tmp_path, gateway_mri="basic", **doors)
    with closing(Ports(everything)) as ports:
        routes = create_app(ports).routes
    included = [each.original_router for each in routes if hasattr(each, "original_router")]
    listed = [route for group in groups(everything) for route in group["routes"]]
    assert len(listed) == len(set(listed))
    assert set(listed) == {route for router in included for route in routes_of(router)}
    assert all(group["open"] for group in groups(everything))
    closed = {group["name"]: group["setting"] for group in groups(Settings()) if not group["open"]}
    assert closed["video analysis"] == "SLUICE_GATEWAY_VIDEO=true"


@pytest.mark.parametrize(("workers", "said"), [(set(), True), ({"worker-1"}, False)])
def test_a_submit_says_that_no_live_worker_serves_the_processor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], workers: set[str], said: bool
) -> None:
    monkeypatch.setattr("streams.log.kafka.admin", lambda settings: None)
    monkeypatch.setattr("streams.admin.members.workers_of", lambda admin, settings, processor: workers)
    say_if_unserved(Settings(), ECHO)
    assert ("No live worker of echo: the job waits until one starts" in capsys.readouterr().err) is said


def test_a_contract_without_its_class_is_no_unknown_processor() -> None:
    with (
        installed(replace(ECHO, name="bare")),
        pytest.raises(StartupError, match="Only the contract of processor 'bare'"),
    ):
        load_versions("bare", None, "cpu", None, {})
