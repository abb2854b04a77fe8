"""docs/testing.md, literally: its blocks are written to files and its tests are run."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

DOC = Path(__file__).parents[4] / "docs" / "testing.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SCHEMA = re.compile(r"^`(avro/\w+\.avsc)`\n\n```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples(text: str, folder: Path) -> dict[str, Callable[[], None]]:
    """The test functions of the document's Python, in its order, its schemas lying beside it."""
    (folder / "avro").mkdir()
    for name, schema in SCHEMA.findall(text):
        (folder / name).write_text(schema)
    source = "\n\n".join(block for language, block in BLOCK.findall(text) if language == "python")
    (folder / "testing_doc.py").write_text(source)
    module = importlib.import_module("testing_doc")
    return {name: found for name, found in vars(module).items() if name.startswith("test_")}


def test_every_example_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "testing_doc", raising=False)
    text = DOC.read_text(encoding="utf-8")
    found = examples(text, tmp_path)
    assert len(found) == text.count("\ndef test_")
    assert len(SCHEMA.findall(text)) == 2
    for test in found.values():
        test()


def test_every_method_of_a_flow_is_documented() -> None:
    from streams.testing import Flow

    text = DOC.read_text(encoding="utf-8")
    public = [name for name in vars(Flow) if not name.startswith("_")]
    assert [name for name in public if f"`{name}" not in text and f"{name}`" not in text] == []
