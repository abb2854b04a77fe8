"""`make gpu`: which tests it runs, and what it says without a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import gpu
from schemas.errors import ExitCode


def test_only_files_with_marked_tests_are_collected(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    marked, other = tmp_path / "a" / "test_marked.py", tmp_path / "test_other.py"
    marked.write_text("import pytest\n\n@pytest.mark." + "gpu\ndef test_it() -> None: ...\n")
    other.write_text("def test_it() -> None: ...\n")
    assert gpu.marked_files(tmp_path) == [marked]


def test_the_project_has_marked_tests() -> None:
    found = {path.name for path in gpu.marked_files(gpu.ROOT / "tests")}
    assert {"test_devices.py", "test_device_faults.py"} <= found


def test_without_a_device_it_says_so_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "device_fault", lambda name: f"{name} is not there")
    assert gpu.main() == ExitCode.NOT_FOUND
    assert capsys.readouterr().err == "There is no CUDA device here, so nothing was tested: cuda:0 is not there\n"
