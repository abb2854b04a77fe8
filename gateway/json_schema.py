"""The JSON schema of a processor's input, derived from its Avro schema: one source for both."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from functools import lru_cache
from typing import Any

from schemas.avsc import request_schema
from schemas.contract import AnyContract

Schema = dict[str, Any]

_PRIMITIVES: dict[str, Schema] = {
    "null": {"type": "null"},
    "boolean": {"type": "boolean"},
    "int": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "long": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "float": {"type": "number"},
    "double": {"type": "number"},
    "string": {"type": "string"},
    "bytes": {"type": "string", "description": "Bytes, one character each."},
}


@lru_cache(maxsize=256)
def input_schema(contract: AnyContract) -> Schema:
    """Return the JSON schema of a processor's input. A field with a default is not required."""
    request = json.loads(request_schema(contract))
    [type_] = [field["type"] for field in request["fields"] if field["name"] == "input"]
    made = _schema(type_, _named(request, {}), frozenset())
    optional = {
        field.name
        for field in fields(contract.input)
        if field.default is not MISSING or field.default_factory is not MISSING
    }
    made["required"] = [name for name in made["required"] if name not in optional]
    return made


def _named(type_: Any, found: dict[str, Any]) -> dict[str, Any]:
    """Collect the named types of a schema: a later use only has the name."""
    if isinstance(type_, list):
        for each in type_:
            _named(each, found)
    elif isinstance(type_, dict):
        if "name" in type_ and type_.get("type") in ("record", "enum", "fixed"):
            found[type_["name"].rpartition(".")[2]] = type_
        for key in ("type", "items", "values"):
            if isinstance(type_.get(key), dict | list):
                _named(type_[key], found)
        for field in type_.get("fields", ()):
            _named(field["type"], found)
    return found


def _schema(type_: Any, named: dict[str, Any], within: frozenset[str]) -> Schema:
    if isinstance(type_, list):
        return {"anyOf": [_schema(each, named, within) for each in type_]}
    if isinstance(type_, str):
        return _of_name(type_, named, within)
    if type_.get("logicalType", "").startswith(("timestamp", "local-timestamp")):
        return {"type": "string", "format": "date-time"}
    kind = type_["type"]
    if kind == "array":
        return {"type": "array", "items": _schema(type_["items"], named, within)}
    if kind == "map":
        return {"type": "object", "additionalProperties": _schema(type_["values"], named, within)}
    if kind == "enum":
        return {"enum": list(type_["symbols"])}
    if kind in ("record", "error"):
        return _of_record(type_, named, within | {type_["name"].rpartition(".")[2]})
    if kind == "fixed":
        return {"type": "string", "minLength": type_["size"], "maxLength": type_["size"]}
    return _schema(kind, named, within)


def _of_name(name: str, named: dict[str, Any], within: frozenset[str]) -> Schema:
    if name in _PRIMITIVES:
        return dict(_PRIMITIVES[name])
    short = name.rpartition(".")[2]
    if short in within or short not in named:  # a record within itself: any value
        return {}
    return _schema(named[short], named, within)


def _of_record(type_: Schema, named: dict[str, Any], within: frozenset[str]) -> Schema:
    properties: Schema = {}
    for field in type_["fields"]:
        properties[field["name"]] = _schema(field["type"], named, within)
        if "doc" in field:
            properties[field["name"]]["description"] = field["doc"]
    required = [field["name"] for field in type_["fields"] if "default" not in field]
    made: Schema = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    return made | ({"description": type_["doc"]} if "doc" in type_ else {})
