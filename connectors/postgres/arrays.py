"""Encodes columns as Postgres binary arrays.

psycopg builds an array element by element in Python, about 0.4 µs each; with forty columns per job that costs more than the
work of Postgres itself. Here a column is one `b"".join`, and a column of nulls, or of one repeated value, is almost free.

https://www.postgresql.org/docs/current/arrays.html; the wire form is in src/backend/utils/adt/arrayfuncs.c (array_recv).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.plain import REPLACEMENT

Encode = Callable[[Any], bytes]

_HEADER = struct.Struct(">iiiii")  # dimensions, has nulls, element type, length, lower bound
_LENGTH = struct.Struct(">i").pack
_NULL = _LENGTH(-1)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def _fixed(fmt: str) -> Encode:
    packer = struct.Struct(">i" + fmt)
    size = packer.size - 4

    def encode(value: Any) -> bytes:
        return packer.pack(size, value)

    return encode


def _bytes(value: bytes) -> bytes:
    return _LENGTH(len(value)) + value


def text_bytes(value: str) -> bytes:
    """Encode as UTF-8 that Postgres accepts: NULs and lone surrogates are replaced."""
    if "\0" in value:
        value = value.replace("\0", REPLACEMENT)
    return value.encode("utf-8", "replace")


def _text(value: str) -> bytes:
    encoded = text_bytes(value)
    return _LENGTH(len(encoded)) + encoded


def _jsonb(value: bytes) -> bytes:
    return _LENGTH(len(value) + 1) + b"\x01" + value


def micros(moment: datetime) -> int:
    """Return the microseconds since the epoch of Postgres (2000-01-01)."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def _timestamp(value: datetime) -> bytes:
    return _INT8(micros(value))


_INT8 = _fixed("q")

#: By SQL name: the type's oid (the same in every Postgres), the oid of its array type, and the encoder of one value.
TYPES: dict[str, tuple[int, int, Encode]] = {
    "boolean": (16, 1000, _fixed("?")),
    "bytea": (17, 1001, _bytes),
    "bigint": (20, 1016, _INT8),
    "integer": (23, 1007, _fixed("i")),
    "text": (25, 1009, _text),
    "real": (700, 1021, _fixed("f")),
    "timestamptz": (1184, 1185, _timestamp),
    "uuid": (2950, 2951, _bytes),
    "jsonb": (3802, 3807, _jsonb),
}


def array_oid(type_: str) -> int:
    return TYPES[type_][1]


def array(type_: str, values: Sequence[Any]) -> bytes:
    """Encode `values` as a one-dimensional binary array; None is null. uuid takes 16 bytes, jsonb takes JSON as bytes."""
    oid, _, encode = TYPES[type_]
    count = len(values)
    if not count:
        return struct.pack(">iii", 0, 0, oid)
    body = _body(encode, values, count)
    return _HEADER.pack(1, 1, oid, count, 1) + body


def _body(encode: Encode, values: Sequence[Any], count: int) -> bytes:
    first = values[0]
    if values.count(first) == count:  # compares by identity first, so it is fast either way
        return (_NULL if first is None else encode(first)) * count
    if None in values:
        return b"".join([_NULL if value is None else encode(value) for value in values])
    return b"".join(map(encode, values))


def uuids(data: bytes | memoryview | None) -> list[bytes]:
    """Decode a binary uuid array that has no nulls."""
    if not data:
        return []
    view = bytes(data)
    start = _HEADER.size + 4
    return [view[at : at + 16] for at in range(start, len(view), 20)]


def integers(data: bytes | memoryview | None) -> list[int]:
    """Decode a binary integer array that has no nulls."""
    if not data:
        return []
    view = bytes(data)
    return [number for _, number in struct.iter_unpack(">ii", view[_HEADER.size :])]


def moment(micros_: int) -> datetime:
    """Return the time of microseconds since the epoch of Postgres; the inverse of `micros`."""
    return _EPOCH + timedelta(microseconds=micros_)


def columns(rows: Iterable[Sequence[Any]], width: int) -> list[Sequence[Any]]:
    """Transpose rows to columns; without rows, return `width` empty columns."""
    return list(zip(*rows, strict=True)) or [()] * width
