"""The blocks of docs/adding_a_processor.md run unchanged, in order, against real parts.

Only `pip` is replaced: the stand-in puts the package and its entry points on the path, and leaves this environment alone.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from streams.health.service_files import running
from streams.settings import Settings
from tests.harness.services import SLUICE, environment

pytestmark = pytest.mark.stack

DOC = Path(__file__).parents[2] / "docs" / "adding_a_processor.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

PIP = """#!{python}
import sys
from pathlib import Path

sys.path.insert(0, {root!r})
from tests.harness.packages import on_the_path

assert sys.argv[1:3] == ["install", "-e"], sys.argv
print(on_the_path(Path(sys.argv[3]).resolve(), Path({site!r})))
"""


def blocks() -> list[tuple[str, str]]:
    """Return every block of the document, with its language."""
    found = BLOCK.findall(DOC.read_text(encoding="utf-8"))
    assert {language for language, _ in found} == {"bash", "python"}, "each block of this document is executed"
    return found


def script(tools: Path) -> str:
    """Return the document as one script, as a reader types it in one shell."""
    lines = [f"set -euo pipefail\nexport PATH={shlex.quote(str(tools))}:$PATH"]
    for number, (language, text) in enumerate(blocks()):
        lines.append(f"echo '--- block {number}' >&2")
        lines.append(text if language == "bash" else f"python - <<'END OF BLOCK'\n{text}END OF BLOCK")
    return "\n".join(lines)


def make_tools(tmp_path: Path, site: Path) -> Path:
    """Make a folder with `sluice`, `python` and `pip` of this environment."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "sluice").symlink_to(SLUICE)
    (tools / "python").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    (tools / "pip").write_text(PIP.format(python=sys.executable, root=str(DOC.parents[1]), site=str(site)))
    for tool in ("python", "pip"):
        (tools / tool).chmod(0o755)
    return tools


def test_a_reader_who_types_every_block_gets_a_processed_job(settings: Settings, tmp_path: Path) -> None:
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    tools = make_tools(tmp_path, site)
    path = f"{site}:{work / 'words'}"
    variables = environment(settings) | {
        "PYTHONPATH": path,
        "SLUICE_PROCESSORS": "words",
        "SLUICE_LOG_LEVEL": "warning",
    }
    output = tmp_path / "output.log"
    with output.open("wb") as log:
        reader = subprocess.Popen(
            ["bash", "-c", script(tools)], cwd=work, env=variables, stdout=log, stderr=log, start_new_session=True
        )
        try:
            status = reader.wait(240)
        finally:
            with suppress(ProcessLookupError):  # processes that a failed block leaves running
                os.killpg(reader.pid, signal.SIGKILL)
    text = output.read_text()
    assert status == 0, text[-6000:]
    assert text.count('"words": 2') == 2  # run-once of the generated class, and a job of the class that replaced it
    assert "COMPLETED" in text
    assert "FAILED" in text
    assert running(settings.home) == []
