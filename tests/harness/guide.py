"""docs/migrating_from_celery.md as a program: the steps that its reader does by hand."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.harness.source_tree import ROOT

GUIDE = ROOT / "docs" / "migrating_from_celery.md"
#: A file in full: its name begins the paragraph before the block.
_FILE = re.compile(r"^`([\w/]+\.\w+)`[^`]*:\n\n```(?:python|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_DIFF = re.compile(r"^```diff\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_REMOVED = re.compile(r"^rm -r (.*)$", re.MULTILINE)


def files(step: str) -> dict[str, str]:
    """Return the files that a step writes in full, by name."""
    return dict(_FILE.findall(_section(step)))


def do(step: str, folder: Path) -> None:
    """Write, remove and change files in `folder` as a step says. A diff must fit exactly."""
    for name, text in files(step).items():
        (folder / name).write_text(text)
    for names in _REMOVED.findall(_section(step)):
        for name in names.split():
            shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()
    diffs = _DIFF.findall(_section(step))
    assert diffs, f"{step} has no diff"
    for diff in diffs:
        done = subprocess.run(["git", "apply", "-"], cwd=folder, input=diff, capture_output=True, text=True)
        assert done.returncode == 0, f"{step}: {done.stderr}\n{diff}"


def _section(step: str) -> str:
    (found,) = [part for part in GUIDE.read_text().split("\n## ") if part.startswith(step)]
    return found
