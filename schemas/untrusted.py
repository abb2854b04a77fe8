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
#: The fewest bytes of a primitive value, if not 1.
_LEAST_BYTES = {"null": 0, "float": 4, "double": 8}


class UnsafeSchema(Exception):
    """A schema that must not be used. The message is the reason, as the end of a sentence."""


class _Shape(NamedTuple):
    """Shape of a type's values.

    `depth`: levels. `types`: types, each counted as often as it is used. `least`: the fewest bytes of a value. `values`: the
    most values in one, without the items of arrays and maps. `density`: the most values in a byte of such items.
    """

    depth: int
    types: int
    least: int
    values: int
    density: float = 1.0


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


def values_per_byte(parsed: Any) -> float:
    """Return the most values, of any type, that one byte of a record by this schema can decode to; at least 1.

    Without the record's own fields, which no number of bytes multiplies.
    """
    return _shape(parsed, {}).density


def _shape(schema: Any, known: dict[str, _Shape | None]) -> _Shape:
    """Return the shape of a type. `known`: named types so far (parse_schema has qualified their names); None while in work."""
    if isinstance(schema, str):
        return _named(schema, known)
    if isinstance(schema, list):
        arms = [_shape(arm, known) for arm in schema]
        least, values = min((arm.least for arm in arms), default=0), max((arm.values for arm in arms), default=0)
        return _within(arms, 1 + least, values)
    kind, name = schema["type"], schema.get("name")
    if isinstance(kind, dict | list):
        return _shape(kind, known)
    if kind in ("record", "error"):
        known[name] = None
        fields = [_shape(field["type"], known) for field in schema["fields"]]
        least, values = sum(field.least for field in fields), 1 + sum(field.values for field in fields)
        known[name] = made = _within(fields, least, values)
        return made
    if kind in ("enum", "fixed"):
        known[name] = made = _Shape(1, 1, schema["size"] if kind == "fixed" else 1, 1)
        return made
    if kind == "array":
        return _of_items(_shape(schema["items"], known), 0)
    if kind == "map":
        return _of_items(_shape(schema["values"], known), 1)  # a key takes a byte
    return _named(kind, known)


def _named(name: str, known: dict[str, _Shape | None]) -> _Shape:
    if name not in known:
        return _Shape(1, 1, _LEAST_BYTES.get(name, 1), 1)
    shape = known[name]
    if shape is None:
        raise UnsafeSchema(f"the type {name[:100]!r} contains itself")
    return shape


def _of_items(items: _Shape, key: int) -> _Shape:
    least = items.least + key
    if not least:
        raise UnsafeSchema("it has an array whose items take no bytes")
    outer = _within([items], 1, 1)
    return outer._replace(density=max(outer.density, (items.values + key) / least))


def _within(parts: Iterable[_Shape], least: int, values: int) -> _Shape:
    inner = list(parts)
    depth = 1 + max((part.depth for part in inner), default=0)
    count = 1 + sum(part.types for part in inner)
    if depth > MAX_DEPTH or count > MAX_TYPES:
        raise UnsafeSchema("it is nested too deeply")
    return _Shape(depth, count, least, values, max((part.density for part in inner), default=1.0))
