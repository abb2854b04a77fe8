"""A schema's guarantees spare the check of each record: they must never say more than the check would find."""

from __future__ import annotations

import json
from typing import Any

import fastavro
import pytest

from schemas.avsc import request_schema, result_schema
from schemas.records import ECHO
from streams.sink.record_types import Guarantees, guarantees


def changed(field: str, type_: Any, *path: str) -> Any:
    """Return the echo result's parsed schema with another type of one field, of the record at `path`."""
    schema = json.loads(result_schema(ECHO))
    record = schema
    for name in path:
        type_of = next(each for each in record["fields"] if each["name"] == name)["type"]
        record = next(arm for arm in type_of if arm != "null") if isinstance(type_of, list) else type_of
    next(each for each in record["fields"] if each["name"] == field)["type"] = type_
    for each in record["fields"]:
        each.pop("default", None)
    return fastavro.parse_schema(schema)


def test_our_own_schemas_guarantee_their_types() -> None:
    assert guarantees(fastavro.parse_schema(json.loads(result_schema(ECHO)))) == Guarantees(header=True, result=True)
    assert guarantees(fastavro.parse_schema(json.loads(request_schema(ECHO)))) == Guarantees(header=True, result=False)


@pytest.mark.parametrize(
    ("field", "type_"),
    [
        ("run", "long"),
        ("tenant", ["null", "string"]),
        ("tenant", "bytes"),
        ("processor", {"type": "enum", "name": "Kind", "symbols": ["A"]}),
        ("created_at", "long"),
        ("created_at", {"type": "long", "logicalType": "local-timestamp-micros"}),
        ("labels", {"type": "array", "items": "string"}),
        ("max_attempts", {"type": "int", "logicalType": "date"}),
        ("job_id", {"type": "string", "logicalType": "uuid"}),
    ],
)
def test_a_header_with_another_type_is_checked_record_by_record(field: str, type_: Any) -> None:
    assert guarantees(changed(field, type_, "header")) == Guarantees(header=False, result=True)


@pytest.mark.parametrize(
    ("field", "type_", "path"),
    [
        ("disposition", ["null", "string"], ("result",)),
        ("sequence", "long", ("result",)),
        ("started_at", "string", ("result", "timings")),
        ("code", ["null", "string"], ("result", "error")),
    ],
)
def test_a_result_with_another_type_is_checked_record_by_record(field: str, type_: Any, path: tuple[str, ...]) -> None:
    assert guarantees(changed(field, type_, *path)) == Guarantees(header=True, result=False)


@pytest.mark.parametrize("schema", ["string", {"type": "record", "name": "Other", "fields": []}])
def test_a_schema_without_header_and_result_guarantees_nothing(schema: Any) -> None:
    parsed = fastavro.parse_schema(schema)
    assert guarantees(parsed) == Guarantees(header=False, result=False)
