"""`sluice new processor` writes a package that works as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.errors import ExitCode
from streams.cli.run import run
from streams.cli.scaffold import files
from tests.harness.packages import on_the_path

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new") / "word-count"
    assert run(["new", "processor", "word-count", "--directory", str(folder)]) == ExitCode.OK
    return folder


def ran(*argv: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *argv],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_own_test_passes(package: Path) -> None:
    assert "3 passed" in ran("pytest", "-q", "-p", "no:cacheprovider", cwd=package)


def test_it_is_found_and_run(package: Path, tmp_path: Path) -> None:
    path = on_the_path(package, tmp_path / "site")
    command = ("streams.cli", "run-once", "word-count", "--input", '{"text": "one two three"}')
    output = ran(*command, cwd=tmp_path, PYTHONPATH=path, SLUICE_HOME=str(tmp_path / "home"))
    assert json.loads(output) == {"words": 3}


def test_it_is_clean_by_the_linter_and_the_type_checker(package: Path) -> None:
    ran("ruff", "check", "--no-cache", "--select", "E,F,W,I,B,UP,RUF", ".", cwd=package)
    ran("ruff", "format", "--no-cache", "--check", ".", cwd=package)
    # With the project's own configuration, whose cache the linting before the tests has filled.
    ran("mypy", str(package / "word_count"), str(package / "tests"), cwd=ROOT, MYPYPATH=str(package))


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("Words", ExitCode.USAGE, "lower-case letters"),
        ("word_count", ExitCode.USAGE, "hyphens"),
        ("2words", ExitCode.USAGE, "starting with a letter"),
        ("words\n", ExitCode.USAGE, "lower-case letters"),
        ("w" * 49, ExitCode.USAGE, "up to 48"),
        ("bulk", ExitCode.USAGE, "`bulk` is reserved"),
        ("json", ExitCode.USAGE, "would hide a Python module"),
        ("class", ExitCode.USAGE, "would hide a Python module"),
        ("processors", ExitCode.USAGE, "would hide a Python module"),
        ("echo", ExitCode.CONFLICT, "already"),
    ],
)
def test_an_invalid_name_is_refused_with_the_rule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, status: int, words: str
) -> None:
    target = tmp_path / "made"
    assert run(["new", "processor", name, "--directory", str(target)]) == status
    assert words in capsys.readouterr().err
    assert not target.exists()


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert run(["new", "processor", "word-count", "--directory", str(tmp_path)]) == ExitCode.CONFLICT
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert str(tmp_path) in capsys.readouterr().err


def test_it_says_what_to_do_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["new", "processor", "word-count", "--directory", str(tmp_path / "made")]) == ExitCode.OK
    printed = capsys.readouterr()
    assert sorted(printed.out.splitlines()) == sorted(str(tmp_path / "made" / path) for path in files("word-count"))
    assert [
        word for word in ("pip install -e", "pytest", "run-once", "topics apply", "worker") if word not in printed.err
    ] == []
