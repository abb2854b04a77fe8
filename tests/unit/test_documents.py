"""The documents name files and classes that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from schemas.errors import ExitCode
from schemas.states import State
from streams.settings import Settings
from streams.worker.job import JobState
from tests.harness.source_tree import ROOT, files_of, parsed

#: Names in the documents that look like log events.
NOT_EVENTS = {"cancel_grace_ms"}
MOST_CLASSES_OF_A_QUIET_JOB = 26
#: Documents that name files of a package that their reader makes. Tests of their own follow them.
BY_HAND = {"adding_a_processor.md", "migrating_from_celery.md"}
DOCUMENTS = [
    ROOT / "README.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if path.name not in BY_HAND),
]
ROOMS = "schemas|processors|connectors|streams|gateway|clients|examples|deploy|bench|tests|docs"
FILE = re.compile(rf"\b(?:{ROOMS})/[\w/.-]+\.(?:py|sql|toml|avsc|md)\b")
STATION = re.compile(r"^\| (\d+) \| `(\w+)` \| `([\w/.]+)` \|", re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_names_only_files_that_exist(document: Path) -> None:
    assert [name for name in FILE.findall(document.read_text(encoding="utf-8")) if not (ROOT / name).exists()] == []


def test_a_quiet_job_passes_at_most_26_classes_each_in_the_file_that_is_named() -> None:
    stations = STATION.findall(text_of("docs/ARCHITECTURE.md"))
    assert [int(number) for number, _, _ in stations] == list(range(1, MOST_CLASSES_OF_A_QUIET_JOB + 1))
    assert len({name for _, name, _ in stations}) == len(stations)
    assert [f"{name} is not in {file}" for _, name, file in stations if name not in classes_of(file)] == []


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs" / "adr").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_states_of_a_job_are_those_of_the_code() -> None:
    named = set(re.findall(r"^\| ([A-Z]+) \|", text_of("docs/job_states.md"), re.MULTILINE))
    assert named == set(State) - {State.UNKNOWN} | set(JobState.__members__)


def test_every_setting_is_in_the_operators_table() -> None:
    table = set(
        re.findall(
            r"`((?:SLUICE|KAFKA|SCHEMA|DATABASE|DJANGO|FASTAPI|MAIN_VM|USE)_\w+)`", text_of("docs/operations.md")
        )
    )
    names = {
        f"SLUICE_{name.upper()}" if not one.validation_alias else name.upper()
        for name, one in Settings.model_fields.items()
    }
    assert table == names


def test_every_exit_status_is_in_the_operators_table() -> None:
    table = re.findall(r"^\| (\d+) \| ", text_of("docs/operations.md"), re.MULTILINE)
    assert [int(status) for status in table] == sorted(v for k, v in vars(ExitCode).items() if k.isupper())


@pytest.mark.parametrize("document", ["docs/operations.md", "CHANGELOG.md"])
def test_log_events_that_a_document_names_are_logged(document: str) -> None:
    logged = set[str]()
    for path in (*files_of("streams"), *files_of("gateway")):
        logged |= set(re.findall(r'"([a-z]+(?:_[a-z]+)+)"', path.read_text(encoding="utf-8")))
    text = text_of(document)
    if document == "CHANGELOG.md":  # the right column of its table
        text = " ".join(re.findall(r"^\| `.*? \| (.*) \|$", text, re.MULTILINE))
    named = set(re.findall(r"`((?:child|stop|too|drain|session|duty|command|lease|job|cancel|out)_[a-z_]+)`", text))
    assert named - logged - NOT_EVENTS == set()


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def classes_of(file: str) -> set[str]:
    return {node.name for node in parsed(ROOT / file).body if isinstance(node, ast.ClassDef)}
