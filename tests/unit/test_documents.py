"""The documents name files and classes that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.harness.source_tree import ROOT, parsed

MOST_CLASSES_OF_A_QUIET_JOB = 26
#: `adding_a_processor.md` names files of a package that its reader makes.
DOCUMENTS = [
    ROOT / "README.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if path.name != "adding_a_processor.md"),
]
FILE = re.compile(r"\b(?:schemas|processors|connectors|streams|bench|tests|docs)/[\w/.-]+\.(?:py|sql|toml|avsc|md)\b")
STATION = re.compile(r"^\| (\d+) \| `(\w+)` \| `([\w/.]+)` \|", re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_names_only_files_that_exist(document: Path) -> None:
    assert [name for name in FILE.findall(document.read_text(encoding="utf-8")) if not (ROOT / name).exists()] == []


def test_a_quiet_job_passes_at_most_26_classes_each_in_the_file_that_is_named() -> None:
    stations = STATION.findall((ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8"))
    assert [int(number) for number, _, _ in stations] == list(range(1, MOST_CLASSES_OF_A_QUIET_JOB + 1))
    assert len({name for _, name, _ in stations}) == len(stations)
    assert [f"{name} is not in {file}" for _, name, file in stations if name not in classes_of(file)] == []


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs" / "adr").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))


def classes_of(file: str) -> set[str]:
    return {node.name for node in parsed(ROOT / file).body if isinstance(node, ast.ClassDef)}
