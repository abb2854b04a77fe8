"""Reads `.avsc` files and makes them self-contained: shared records are inlined at their first use. Encodes by such schemas.

The files refer to shared records by name (`sluice.v1.JobHeader`), so that each is written once. Schemas in the registry have
everything inline, so that a client in any language needs only one schema.
"""

from __future__ import annotations

import io
import json
import struct
from functools import cache
from pathlib import Path
from typing import Any

import fastavro
from fastavro.schema import UnknownType

from schemas.contract import AVRO_DIR, AnyContract
from schemas.errors import InvalidInput
from schemas.ranges import Check, OutOfRange, number_check

Schema = dict[str, Any]
#: Errors of fastavro for a value that does not fit.
_MISFITS = (ValueError, TypeError, KeyError, AttributeError, OverflowError, struct.error)
NAMESPACE = "sluice.v1."


@cache
def self_contained(name: str, folder: Path = AVRO_DIR) -> str:
    """Return the schema `name` as one JSON text with shared records inlined. Raises FileNotFoundError."""
    return json.dumps(_inline(_read(name, folder), set(), folder), separators=(",", ":"))


def request_schema(contract: AnyContract) -> str:
    return self_contained(f"{contract.camel}Request", contract.avro_dir)


def result_schema(contract: AnyContract) -> str:
    return self_contained(f"{contract.camel}Result", contract.avro_dir)


def write(parsed: Any, check: Check, value: Any, start: bytes = b"") -> bytes:
    """Return `start` and the value in Avro, by a parsed schema and its `number_check`.

    Raises InvalidInput if the value does not fit.
    """
    out = io.BytesIO()
    out.write(start)
    try:
        check(value)
        fastavro.schemaless_writer(out, parsed, value)
    except _MISFITS as error:
        raise InvalidInput(
            f"The record does not fit its schema: {_misfit(parsed, value, error)}.",
            next_step="Send each field in the type of the processor's input (`GET /v1/processors`, or its .avsc file).",
        ) from error
    return out.getvalue()


def _misfit(parsed: Any, value: Any, error: Exception) -> str:
    """Return the first field that can't be encoded, and why; only the reason if the value is no record."""
    if isinstance(parsed, dict) and parsed["type"] == "record" and isinstance(value, dict):
        for field in parsed["fields"]:
            name = field["name"]
            try:
                fastavro.schemaless_writer(io.BytesIO(), field["type"], value.get(name, field.get("default")))
            except UnknownType:  # a type that an earlier field defines
                continue
            except _MISFITS as inner:
                rest = _misfit(field["type"], value.get(name), inner)
                return f"{name}.{rest}" if _is_record(field["type"]) else f"{name}: {rest}"
    if isinstance(parsed, dict) and parsed["type"] == "array" and isinstance(value, list):
        for place, item in enumerate(value):
            try:
                fastavro.schemaless_writer(io.BytesIO(), parsed["items"], item)
            except UnknownType:
                break
            except _MISFITS as inner:
                return f"item {place}: {_misfit(parsed['items'], item, inner)}"
    if isinstance(error, UnicodeEncodeError):
        return "it contains half a surrogate pair, which is not valid text"
    if isinstance(error, OutOfRange):
        return str(error)
    return f"it must be {_described(parsed)}, not {type(value).__name__}"  # fastavro's text may quote the value


def _described(type_: Any) -> str:
    """Return a type in short, such as `string`, `null or long`, `array of float`."""
    if isinstance(type_, list):
        return " or ".join(map(_described, type_))
    if not isinstance(type_, dict):
        return str(type_).rpartition(".")[2]
    kind = type_["type"]
    if kind in ("array", "map"):
        return f"{kind} of {_described(type_['items' if kind == 'array' else 'values'])}"
    if kind == "enum":
        return f"one of {', '.join(type_['symbols'])}"
    name = type_.get("logicalType") or type_.get("name") or kind
    return str(name).rpartition(".")[2] if not isinstance(name, dict | list) else _described(name)


def _is_record(type_: Any) -> bool:
    return isinstance(type_, dict) and type_["type"] == "record"


def check_field(schema: str, name: str, value: Any) -> None:
    """Check that the value fits this field of a record's schema. Raises InvalidInput."""
    parsed: Any = fastavro.parse_schema(json.loads(schema))
    type_ = next(field["type"] for field in parsed["fields"] if field["name"] == name)
    write(type_, number_check(type_), value)


def _read(name: str, folder: Path) -> Schema:
    path = folder / f"{name}.avsc"
    if not path.exists():
        path = AVRO_DIR / f"{name}.avsc"
    schema: Schema = json.loads(path.read_text(encoding="utf-8"))
    return schema


def _inline(node: Any, seen: set[str], folder: Path) -> Any:
    if isinstance(node, str) and node.startswith(NAMESPACE):
        if node in seen:
            return node
        return _inline(_read(node.removeprefix(NAMESPACE), folder), seen, folder)
    if isinstance(node, list):
        return [_inline(item, seen, folder) for item in node]
    if isinstance(node, dict):
        if node.get("type") == "record":
            seen.add(NAMESPACE + node["name"].removeprefix(NAMESPACE))
            return {**node, "fields": [_inline(item, seen, folder) for item in node["fields"]]}
        return {
            key: _inline(value, seen, folder) if key in ("type", "items", "values") else value
            for key, value in node.items()
        }
    return node
