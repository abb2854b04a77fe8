"""Writer schemas from the registry, which anybody may fill: what would take the process down with it is refused unread.

fastavro decodes by recursion in C and without a bound: 200 KB of a linked list end the process by a segmentation fault, and an
array whose items take no bytes fills its memory. None of our topics needs either.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import fastavro

#: Levels of a value, and of the schema's own JSON. Ours have seven.
DEEPEST = 64
#: Types in a value, each counted wherever it is used.
MOST = 20_000


class UnsafeSchema(Exception):
    """The reason, as the end of a sentence."""


class _Shape(NamedTuple):
    """Of a value: levels, types, and whether it may take no bytes at all."""

    depth: int
    types: int
    empty: bool


def parse_untrusted(text: str) -> Any:
    """The parsed schema. Raises UnsafeSchema, and what json and fastavro raise on what is no schema."""
    try:
        raw = json.loads(text)
    except RecursionError as error:
        raise UnsafeSchema("it is nested too deeply") from error
    _check_depth(raw)
    parsed = fastavro.parse_schema(raw)
    _shape(parsed, {})
    return parsed


def _check_depth(raw: Any) -> None:
    level = [raw]
    for _ in range(DEEPEST):
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise UnsafeSchema("it is nested too deeply")


def _shape(schema: Any, known: dict[str, _Shape | None]) -> _Shape:
    """`known` has the named types so far (parse_schema has qualified their names); None while one is being looked at."""
    if isinstance(schema, str):
        return _named(schema, known)
    if isinstance(schema, list):
        return _within([_shape(arm, known) for arm in schema], empty=False)
    kind, name = schema["type"], schema.get("name")
    if isinstance(kind, dict | list):
        return _shape(kind, known)
    if kind in ("record", "error"):
        known[name] = None
        fields = [_shape(field["type"], known) for field in schema["fields"]]
        known[name] = made = _within(fields, empty=all(field.empty for field in fields))
        return made
    if kind in ("enum", "fixed"):
        known[name] = made = _Shape(1, 1, kind == "fixed" and not schema["size"])
        return made
    if kind == "array":
        items = _shape(schema["items"], known)
        if items.empty:
            raise UnsafeSchema("it has an array whose items take no bytes")
        return _within([items], empty=False)
    if kind == "map":
        return _within([_shape(schema["values"], known)], empty=False)
    return _named(kind, known)


def _named(name: str, known: dict[str, _Shape | None]) -> _Shape:
    if name not in known:
        return _Shape(1, 1, name == "null")
    shape = known[name]
    if shape is None:
        raise UnsafeSchema(f"the type {name[:100]!r} contains itself")
    return shape


def _within(parts: Iterable[_Shape], *, empty: bool) -> _Shape:
    inner = list(parts)
    depth = 1 + max((part.depth for part in inner), default=0)
    count = 1 + sum(part.types for part in inner)
    if depth > DEEPEST or count > MOST:
        raise UnsafeSchema("it is nested too deeply")
    return _Shape(depth, count, empty)
