"""Keeps log files bounded and readable.

A process writes its log itself, through a file opened for appending, so no pipe or helper process is needed. The broker and
the registry rotate their own log. For all others `bound` is called at every start. The process may keep the file open: its
contents are copied and the file is truncated, and the process goes on appending at the new end.
"""

from __future__ import annotations

import shutil
from pathlib import Path

MAX_BYTES = 10 * 1024 * 1024
KEPT = 3
_FRAMES = ("\tat ", "\t... ")
_LINE = 400  # characters; longer lines are cut, such as a stack trace on one line


def bound(log: Path, *, max_bytes: int = MAX_BYTES, kept: int = KEPT) -> None:
    """If the file is larger than `max_bytes`, move its contents to `<log>.1` and older ones one number up."""
    if not log.exists() or log.stat().st_size <= max_bytes:
        return
    for age in range(kept - 1, 0, -1):
        older = _aged(log, age)
        if older.exists():
            older.replace(_aged(log, age + 1))
    shutil.copyfile(log, _aged(log, 1))
    with log.open("r+b") as file:
        file.truncate(0)


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines for an error message, without the frames of Java stack traces."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 64 * 1024))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    useful = [line for line in text.splitlines() if not line.startswith(_FRAMES)]
    return "\n".join(line[:_LINE] for line in useful[-lines:])


def _aged(log: Path, age: int) -> Path:
    return log.with_name(f"{log.name}.{age}")
