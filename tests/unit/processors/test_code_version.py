"""A processor's code version changes with every source file that it needs, and with nothing else."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from processors.code_version import code_version, sources
from processors.echo import Echo

FILES = {
    "__init__.py": "",
    "work.py": "from pkg_under_test import helper\nfrom .deep import leaf\nclass Work: ...\n",
    "helper.py": "def later():\n    import pkg_under_test.lazy\n",
    "lazy.py": "x = 1\n",
    "deep/__init__.py": "",
    "deep/leaf.py": "from ..cycle import y\n",
    "cycle.py": "y = 1\nfrom pkg_under_test.deep import leaf\n",
    "unrelated.py": "z = 1\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "pkg_under_test"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.startswith("pkg_under_test")]:
        del sys.modules[name]


def version() -> str:
    code_version.cache_clear()
    return code_version(importlib.import_module("pkg_under_test.work").Work)


@pytest.mark.parametrize("file", ["work.py", "helper.py", "lazy.py", "deep/leaf.py", "cycle.py", "__init__.py"])
def test_it_changes_with_a_file_that_the_processor_needs(package: Path, file: str) -> None:
    before = version()
    (package / file).write_text(FILES[file] + "# changed\n")
    assert version() != before


def test_it_does_not_change_with_other_files_nor_with_the_folder(package: Path) -> None:
    before = version()
    (package / "unrelated.py").write_text("z = 2\n")
    (package / "notes.txt").write_text("x")
    assert version() == before
    assert before.startswith("no-distribution+"), "no entry point leads to it"


def test_it_names_the_distribution_and_reads_no_module_of_another_package() -> None:
    assert code_version(Echo).startswith("sluice-")
    assert sources("processors.echo").keys() == {
        "processors",
        "processors.echo",
        "processors.policy",
        "processors.protocol",
    }
