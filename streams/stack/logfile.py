"""Keeping a component's log bounded and readable.

A child writes its log itself, through a file opened for appending, so no pipe and no helper process stands between
them. The components that can rotate their own file (the broker, the registry) do; for the rest `bound` is called whenever
the stack is started, asked or stopped. While a process holds the file its contents are copied away and the file is cut
to nothing: appending goes on at the new end.
"""

from __future__ import annotations

import shutil
from pathlib import Path

MAX_BYTES = 10 * 1024 * 1024
KEPT = 3
_FRAMES = ("\tat ", "\t... ")
_LINE = 400  # a stack trace on one line would bury the rest


def bound(log: Path, *, max_bytes: int = MAX_BYTES, kept: int = KEPT) -> None:
    """Move what is there to `<log>.1` (and older ones up) once the file has grown beyond `max_bytes`."""
    if not log.exists() or log.stat().st_size <= max_bytes:
        return
    for age in range(kept - 1, 0, -1):
        older = _aged(log, age)
        if older.exists():
            older.replace(_aged(log, age + 1))
    shutil.copyfile(log, _aged(log, 1))
    with log.open("r+b") as held:
        held.truncate(0)


def tail(log: Path, lines: int = 15) -> str:
    """The last lines that say something, for an error message: without the frames of Java's stack traces."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 64 * 1024))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    telling = [line for line in text.splitlines() if not line.startswith(_FRAMES)]
    return "\n".join(line[:_LINE] for line in telling[-lines:])


def _aged(log: Path, age: int) -> Path:
    return log.with_name(f"{log.name}.{age}")
