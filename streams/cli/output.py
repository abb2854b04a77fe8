"""Printing: text for people, JSON for programs. Data goes to stdout; progress, hints and errors go to stderr."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TextIO

from schemas.plain import json_form

#: Characters that steer a terminal or hide text on it: controls but tab and newline, marks that turn the direction of
#: writing, line separators, and halves of surrogate pairs.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def out(text: str = "") -> None:
    """Print a line on stdout. Characters that steer a terminal are escaped: jobs and records hold texts of strangers."""
    sys.stdout.write(printable(text) + "\n")


def err(text: str) -> None:
    """Print a line on stderr: progress and hints, never data."""
    sys.stderr.write(printable(text) + "\n")
    sys.stderr.flush()


def printable(text: str) -> str:
    """Return a text with each character that steers a terminal as \\uXXXX, which JSON reads back as the same character."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def one_line(text: str) -> str:
    """Return a text that can't begin a line of its own, so that a record can't imitate another one."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def discard_output() -> None:
    """Discard all further output: after a BrokenPipeError (`sluice tail … | head`) Python must not write, not even at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def out_json(value: Any, *, indent: int | None = 2) -> None:
    """Print one JSON document on stdout; with `indent=None` on a single line."""
    out(json_text(value, indent=indent))


def json_text(value: Any, *, indent: int | None = 2, stream: TextIO | None = None) -> str:
    """Return JSON for a stream, by default stdout. In ASCII unless the stream is UTF-8: JSON has escapes of its own."""
    encoding = (stream or sys.stdout).encoding or "utf-8"
    ascii_only = encoding.lower().replace("-", "").replace("_", "") not in ("utf8", "utf8sig")
    return json.dumps(jsonable(value), indent=indent, ensure_ascii=ascii_only)


def jsonable(value: Any) -> Any:
    """Convert dataclasses, named tuples, times, enums and bytes to what JSON can hold."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return jsonable(value._asdict())
    if isinstance(value, dict):
        return {str(key): jsonable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(inner) for inner in value]
    value = json_form(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def table(rows: Iterable[Sequence[Any]], head: Sequence[str]) -> str:
    """Align rows under a heading. No cell is shortened, so lines can be searched with grep."""
    lines = [[*head], *([_cell(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if isinstance(value, datetime) else one_line(str(value))


def duration(seconds: float) -> str:
    """Format as `12 s`, `3 min`, `5 h` or `2 d`."""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def age(seconds: float | None) -> str:
    """Return an age as text, with a tenth below ten seconds: 0.4 s, 95 s, 12 min; - if it is not known."""
    return "-" if seconds is None else f"{seconds:.1f} s" if seconds < 10 else duration(seconds)
