"""Rejects writer schemas from the registry, which any client may fill, if decoding by them could crash the process.

fastavro decodes by recursion in C without limits: 200 KB of a linked list end the process with a segmentation fault, and an
array whose items take no bytes fills its memory. No topic of ours needs either.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import fastavro

#: Limit of nesting, of a value and of the schema's JSON. Our schemas have seven levels.
MAX_DEPTH = 64
#: Limit of types in a value; a type counts each time it is used.
MAX_TYPES = 20_000


class UnsafeSchema(Exception):
    """A schema that must not be used. The message is the reason, as the end of a sentence."""


class _Shape(NamedTuple):
    """Shape of a type's values: levels, types, and whether a value may take no bytes."""

    depth: int
    types: int
    empty: bool


def parse_untrusted(text: str) -> Any:
    """Parse a schema. Raises UnsafeSchema, and the errors of json and fastavro for a text that is not a schema."""
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
    for _ in range(MAX_DEPTH):
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
    """Return the shape of a type. `known`: named types so far (parse_schema has qualified their names); None while in work."""
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
    if depth > MAX_DEPTH or count > MAX_TYPES:
        raise UnsafeSchema("it is nested too deeply")
    return _Shape(depth, count, empty)
