"""Types of the fields that the sink reads from requests and results.

Avro guarantees the types that a schema names. So a schema whose types are right is recognised once, and only the records of
other schemas are checked one by one: the check of a record costs 8 µs.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from schemas.records import ErrorInfo, JobHeader, ResultInfo, Timings
from streams.sink.validate import NARROW, Kinds, check, kinds_of

_HEADER, _RESULT, _TIMINGS, _ERROR = map(kinds_of, (JobHeader, ResultInfo, Timings, ErrorInfo))

#: The Python type of an Avro type with its logical type. `number_check` has checked that numbers are within their bits.
_DECODED: Mapping[tuple[str, str | None], type] = {
    ("null", None): type(None),
    ("boolean", None): bool,
    ("int", None): int,
    ("long", None): int,
    ("float", None): float,
    ("double", None): float,
    ("string", None): str,
    ("bytes", None): bytes,
    ("record", None): dict,
    ("map", None): dict,
    ("array", None): list,
    ("long", "timestamp-millis"): datetime,
    ("long", "timestamp-micros"): datetime,
}


class Guarantees(NamedTuple):
    """The parts that have the right types in each record of a schema: the job header, and the result."""

    header: bool
    result: bool


def guarantees(schema: Any) -> Guarantees:
    """Return what a parsed schema guarantees of its records."""
    if not isinstance(schema, dict):
        return Guarantees(header=False, result=False)
    names: Mapping[str, Any] = schema.get("__named_schemas", {})  # fastavro keeps the named types of a schema here
    info = _field_type(schema, "result")
    info = names.get(info, info) if isinstance(info, str) else info
    parts = ((info, _RESULT), (_field_type(info, "timings"), _TIMINGS), (_field_type(info, "error"), _ERROR))
    return Guarantees(
        _fits(_field_type(schema, "header"), _HEADER, names), all(_fits(part, kinds, names) for part, kinds in parts)
    )


def check_header(header: Mapping[str, Any]) -> None:
    """Raise UndecodableRecord for the first field with a wrong type."""
    check(header, _HEADER, "job header")


def check_result(info: Mapping[str, Any]) -> None:
    """Raise UndecodableRecord for the first field with a wrong type, KeyError for one that is missing."""
    check(info, _RESULT, "result")
    check(info["timings"], _TIMINGS, "timings")
    if info["error"] is not None:
        check(info["error"], _ERROR, "error")


def _fits(schema: Any, kinds: Kinds, names: Mapping[str, Any]) -> bool:
    """True if `check` passes every record that is decoded by this parsed Avro schema, whose named types are in `names`."""
    record = names.get(schema, schema) if isinstance(schema, str) else schema
    if not isinstance(record, dict) or record.get("type") != "record":
        return False
    allowed = dict(kinds)
    return all(
        _decoded_kinds(field["type"], field["name"] in NARROW, names) <= set(allowed[field["name"]])
        for field in record["fields"]
        if field["name"] in allowed
    )


def _field_type(schema: Any, name: str) -> Any:
    """Return the type of a record's field, that of a union with null without the null; None if there is no such field."""
    if not isinstance(schema, dict):
        return None
    type_ = next((field["type"] for field in schema.get("fields", ()) if field["name"] == name), None)
    arms = [arm for arm in type_ if arm != "null"] if isinstance(type_, list) else [type_]
    return arms[0] if len(arms) == 1 else None


def _decoded_kinds(type_: Any, narrow: bool, names: Mapping[str, Any]) -> set[type]:
    """Return the Python types that values of an Avro type have after decoding; `object` for any other."""
    if isinstance(type_, list):
        return {kind for arm in type_ for kind in _decoded_kinds(arm, narrow, names)}
    if isinstance(type_, str) and type_ in names:
        type_ = names[type_]
    logical, plain = (type_.get("logicalType"), type_["type"]) if isinstance(type_, dict) else (None, type_)
    if narrow and plain == "long":
        return {object}
    return {_DECODED.get((plain, logical), object) if isinstance(plain, str) else object}
