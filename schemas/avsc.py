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

from schemas.contract import AVRO_DIR, AnyContract
from schemas.errors import InvalidInput

Schema = dict[str, Any]
NAMESPACE = "sluice.v1."


@cache
def self_contained(name: str, folder: Path = AVRO_DIR) -> str:
    """Return the schema `name` as one JSON text with shared records inlined. Raises FileNotFoundError."""
    return json.dumps(_inline(_read(name, folder), set(), folder), separators=(",", ":"))


def request_schema(contract: AnyContract) -> str:
    return self_contained(f"{contract.camel}Request", contract.avro_dir)


def result_schema(contract: AnyContract) -> str:
    return self_contained(f"{contract.camel}Result", contract.avro_dir)


def write(parsed: Any, value: Any, start: bytes = b"") -> bytes:
    """Return `start` and the value in Avro, by a parsed schema. Raises InvalidInput if the value does not fit."""
    out = io.BytesIO()
    out.write(start)
    try:
        fastavro.schemaless_writer(out, parsed, value)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, struct.error) as error:
        raise InvalidInput(f"The record does not fit its schema: {error}.") from error
    return out.getvalue()


def check_field(schema: str, name: str, value: Any) -> None:
    """Check that the value fits this field of a record's schema. Raises InvalidInput."""
    parsed: Any = fastavro.parse_schema(json.loads(schema))
    write(next(field["type"] for field in parsed["fields"] if field["name"] == name), value)


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
