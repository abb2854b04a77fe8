"""Reads `.avsc` files and makes them self-contained: shared records are inlined where they are first named.

The files name shared records (`sluice.v1.JobHeader`), so that each is written once. What goes to the registry carries
everything inline, so that a client in any language needs only the one schema.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from schemas.contract import AVRO_DIR, AnyContract

Schema = dict[str, Any]
NAMESPACE = "sluice.v1."


@cache
def self_contained(name: str, folder: Path = AVRO_DIR) -> str:
    """The schema called `name` as one JSON text, shared records inlined. Raises FileNotFoundError."""
    return json.dumps(_inline(_read(name, folder), set(), folder), separators=(",", ":"))


def request_schema(contract: AnyContract) -> str:
    return self_contained(f"{contract.camel}Request", contract.avro_dir)


def result_schema(contract: AnyContract) -> str:
    return self_contained(f"{contract.camel}Result", contract.avro_dir)


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
