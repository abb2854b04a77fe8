"""Writes records as text for people, JSON lines or CSV; on stdout or to a file."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from schemas.errors import UsageError
from streams.cli.output import err, json_text, one_line, printable

if TYPE_CHECKING:
    from streams.admin.records import LogRecord

#: Characters of a value on a terminal; a pipe or a file gets all of it.
MOST_SHOWN = 4_000
#: Bytes of a hex dump on a terminal.
MOST_BYTES = 256
#: Columns of CSV unless others are given.
COLUMNS = ("topic", "partition", "offset", "at", "key", "value")
#: A spreadsheet takes a cell that begins with one of these for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")

Write = Callable[["LogRecord"], None]


@contextmanager
def open_output(path: Path | None) -> Iterator[TextIO]:
    """Yield stdout, or a file. Raises UsageError.

    A regular file gets its name once the block has ended, so that an error keeps what was there. After Ctrl-C a file that was
    there is kept, too, and what was read is beside it as NAME.partial. A device, a FIFO or a symlink is written directly. Only
    the owner may read a new file: records are personal data.
    """
    if path is None:
        yield sys.stdout
        return
    try:
        before = path.lstat().st_mode if os.path.lexists(path) else None
        direct = before is not None and not stat.S_ISREG(before)
        part = path if direct else _temporary(path, before)
        file = part.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror}.", next_step="Choose another file.") from error
    with file:
        try:
            yield file
        except KeyboardInterrupt:
            file.close()
            if not direct:
                _keep_partial(part, path, replaces=before is not None)
            raise
        except BaseException:
            if not direct:
                part.unlink(missing_ok=True)
            raise
    if not direct:
        os.replace(part, path)


def _keep_partial(part: Path, path: Path, *, replaces: bool) -> None:
    """Give a file that is not complete its name, unless a complete one may have it."""
    kept = path.with_name(f"{path.name}.partial") if replaces else path
    os.replace(part, kept)
    if replaces:
        err(f"{path} is as it was; what was read is in {kept}.")


def _temporary(path: Path, mode: int | None) -> Path:
    """Return a new file beside `path`, with its mode; with 0600 if `path` is not there yet. Raises OSError."""
    number, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".part", dir=path.parent)
    with os.fdopen(number, "wb"):
        if mode is not None:
            os.fchmod(number, stat.S_IMODE(mode))
    return Path(name)


def text_writer(stream: TextIO) -> Write:
    """Return a function that writes a record for people. Long values are cut if the stream is a terminal."""
    cut = stream.isatty()

    def write(record: LogRecord) -> None:
        stream.write(printable(as_text(record, cut=cut)) + "\n")
        stream.flush()  # so that a pipe gets each record at once

    return write


def json_writer(stream: TextIO) -> Write:
    from streams.admin.records import record_json

    def write(record: LogRecord) -> None:
        stream.write(printable(json_text(record_json(record), indent=None, stream=stream)) + "\n")
        stream.flush()

    return write


def csv_writer(stream: TextIO, columns: Sequence[str]) -> Write:
    """Return a function that writes a record as a line of CSV, after a line of names.

    `columns`: JMESPath expressions over the record, each may have a name before it: `job=headers."sluice-job"`. Raises
    UsageError.
    """
    from streams.admin.record_filter import expression
    from streams.admin.records import record_json

    named = [_named(column) for column in columns or COLUMNS]
    expressions = [expression(text) for _, text in named]
    write_row(stream, [name for name, _ in named])

    def write(record: LogRecord) -> None:
        document = record_json(record)
        write_row(stream, [each.search(document) for each in expressions])
        stream.flush()

    return write


def write_row(stream: TextIO, cells: Sequence[Any]) -> None:
    """Write a line of CSV whose cells no spreadsheet takes for a formula."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([_cell(cell) for cell in cells])
    stream.write(printable(line.getvalue()))


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return f"'{value}" if value.lstrip(" ").startswith(_FORMULA) else value
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    return json.dumps(value, ensure_ascii=False)


def _named(column: str) -> tuple[str, str]:
    name, equals, text = column.partition("=")
    return (name, text) if equals and name.replace("_", "").isalnum() and not text.startswith("=") else (column, column)


def as_text(record: LogRecord, *, cut: bool = False) -> str:
    """Format one record: a line with place and time, then the value. `cut`: shorten long values, and say their size."""
    from streams.admin.records import json_value

    at = f"{record.at:%Y-%m-%d %H:%M:%S.%f}"[:-3] if record.at else "no time"
    key = "-" if record.key is None else one_line(record.key)
    head = f"{record.topic}[{record.partition}]@{record.offset}  {at}  key {key}"
    head += "".join(
        f"\n  {name.removeprefix('sluice-dl-')}: {one_line(text)}"
        for name, text in record.headers.items()
        if name.startswith("sluice-dl-")
    )
    if record.format == "tombstone":
        return f"{head}\n  tombstone: no value"
    if record.format == "bytes":
        shown = record.value[:MOST_BYTES] if cut else record.value
        rest = f"\n  … {record.size - len(shown):,} more bytes" if len(shown) < record.size else ""
        return f"{head}\n  {record.size:,} bytes that can't be decoded: {record.undecodable}\n{_hex(shown)}{rest}"
    text = json_text(_without_empty(json_value(record.value)))
    if cut and len(text) > MOST_SHOWN:
        text = f"{text[:MOST_SHOWN]}\n… cut: {record.size:,} bytes in all; --jsonl, a pipe or --output has everything"
    return f"{head}\n{text}"


def _hex(raw: bytes) -> str:
    lines = []
    for at in range(0, len(raw), 16):
        row = raw[at : at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"  {at:08x}  {row.hex(' '):47}  {text}")
    return "\n".join(lines)


def _without_empty(value: Any) -> Any:
    """Drop empty fields; `--jsonl` prints them all."""
    if not isinstance(value, dict):
        return value
    return {name: _without_empty(inner) for name, inner in value.items() if inner is not None and inner != {}}
