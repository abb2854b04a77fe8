"""Numbers that a schema can't hold are refused when they are encoded, and when they are read."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import fastavro
import pytest

from schemas.avsc import request_schema, result_schema
from schemas.codec import FRAME, MOST_VALUES, Codec, Encoder
from schemas.envelope import header_of
from schemas.errors import InvalidInput, UndecodableRecord
from schemas.ids import new_id
from schemas.plain import to_plain
from schemas.ranges import OutOfRange, number_check
from schemas.records import ECHO, EchoInput, JobHeader, Request
from schemas.registry import MemoryRegistry
from schemas.splice import HeaderSplice
from schemas.untrusted import values_per_byte

NOW = datetime(2026, 3, 1, tzinfo=UTC)
Plain = dict[str, Any]


def record(**types: Any) -> Any:
    fields = [{"name": name, "type": type_} for name, type_ in types.items()]
    return fastavro.parse_schema({"type": "record", "name": "R", "fields": fields})


@pytest.mark.parametrize(
    ("type_", "fits", "does_not"),
    [
        ("int", [0, 2**31 - 1, -(2**31)], [2**31, -(2**31) - 1, 1.0, True, None, "1"]),
        ("long", [2**63 - 1, -(2**63)], [2**63, 2.5, False]),
        (["null", "int"], [None, 7], [2**31, 7.5]),
        (["null", "int", "string"], [None, "x", 2**40], []),
        ("float", [0.5, 3.4e38, float("inf"), float("nan")], [1e39, -1e300]),
        ("double", [1e300, float("nan")], []),
        ({"type": "array", "items": "int"}, [[], [1, 2]], [[1, 2**31]]),
        ({"type": "map", "values": "int"}, [{}, {"a": 1}], [{"a": 2**40}]),
        ({"type": "long", "logicalType": "timestamp-micros"}, [NOW], []),
        ("string", ["2147483648"], []),
    ],
)
def test_each_type_of_number_has_its_range(type_: Any, fits: list[Any], does_not: list[Any]) -> None:
    check = number_check(record(field=type_))
    for value in fits:
        check({"field": value})
    for value in does_not:
        with pytest.raises(OutOfRange, match=r"^field "):
            check({"field": value})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [0.0, v], lambda v: {"x": v}])
def test_numbers_may_have_to_be_finite_wherever_they_are(value: float, wrap: Callable[[float], Any]) -> None:
    types = {float: "double", list: {"type": "array", "items": "double"}, dict: {"type": "map", "values": "double"}}
    schema = record(field=types[type(wrap(value))])
    number_check(schema)({"field": wrap(value)})
    with pytest.raises(OutOfRange, match="field contains NaN or infinity"):
        number_check(schema, finite=True)({"field": wrap(value)})


def header(**fields: Any) -> Plain:
    return to_plain(JobHeader(new_id(), "echo", NOW, "0" * 64)) | fields


def echo_encoder() -> tuple[Codec, Encoder]:
    codec = Codec(MemoryRegistry())
    return codec, codec.encoder("requests.echo-value", request_schema(ECHO), register=True)


def foreign(encoder: Encoder, plain: Plain) -> bytes:
    """Return a record as a producer without our checks writes it."""
    out = io.BytesIO(FRAME.pack(0, encoder.schema_id))
    out.seek(FRAME.size)
    fastavro.schemaless_writer(out, encoder.parsed, plain)
    return out.getvalue()


@pytest.mark.parametrize("field", ["run", "attempt", "max_attempts"])
def test_a_foreign_record_with_a_number_beyond_32_bits_is_undecodable(field: str) -> None:
    codec, encoder = echo_encoder()
    data = foreign(encoder, {"header": header(**{field: 2**40}), "input": to_plain(EchoInput("x"))})
    with pytest.raises(UndecodableRecord, match=rf"header\.{field} is beyond 32 bits"):
        codec.decode(data)
    result = codec.encoder("results.echo-value", result_schema(ECHO), register=True)
    splice = HeaderSplice(encoder, request_schema(ECHO), result, result_schema(ECHO))
    with pytest.raises(UndecodableRecord, match=f"{field} is beyond 32 bits"):
        splice.split(data)


def test_no_encoder_writes_what_can_not_be_read_back() -> None:
    _, encoder = echo_encoder()
    with pytest.raises(InvalidInput, match=r"header\.attempt is beyond 32 bits"):
        encoder.encode({"header": header(attempt=2**31), "input": to_plain(EchoInput("x"))})
    with pytest.raises(InvalidInput, match="delay_ms is a float"):
        encoder.encode_field("input", {"message": "x", "delay_ms": 1.5, "fail": None})


@pytest.mark.parametrize(
    ("field", "type_", "value"),
    [("run", "string", "1"), ("job_id", "int", 5), ("tenant", "null", None), ("lane", "bytes", b"x")],
)
def test_a_header_with_a_field_of_another_type_is_undecodable(field: str, type_: str, value: object) -> None:
    registry = MemoryRegistry()
    schema = json.loads(request_schema(ECHO))
    wrong = next(each for each in schema["fields"][0]["type"]["fields"] if each["name"] == field)
    wrong["type"] = type_
    wrong.pop("default", None)
    schema_id = registry.register("foreign", json.dumps(schema))
    out = io.BytesIO(FRAME.pack(0, schema_id))
    out.seek(FRAME.size)
    plain = {"header": header(**{field: value}), "input": to_plain(EchoInput("x"))}
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), plain)
    with pytest.raises(UndecodableRecord, match="job header"):
        header_of(Codec(registry).decode(out.getvalue()))


@pytest.mark.parametrize("plain", [{}, {"header": None}, {"header": "x"}, {"header": {}}, {"header": [1]}])
def test_anything_but_a_header_is_undecodable(plain: Plain) -> None:
    with pytest.raises(UndecodableRecord, match="no readable job header"):
        header_of(plain)


def test_few_bytes_that_hold_many_values_are_not_decoded() -> None:
    many = [{"name": "one", "type": "boolean"}, *({"name": f"n{i}", "type": "null"} for i in range(5000))]
    nulls = {"type": "record", "name": "N", "fields": many}
    schema = {"type": "record", "name": "R", "fields": [{"name": "bomb", "type": {"type": "array", "items": nulls}}]}
    registry = MemoryRegistry()
    schema_id = registry.register("foreign", json.dumps(schema))
    assert values_per_byte(fastavro.parse_schema(schema)) == 5002
    items = MOST_VALUES // 5002 + 1
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema("long"), items)
    with pytest.raises(UndecodableRecord, match="too many values"):
        Codec(registry).decode(FRAME.pack(0, schema_id) + body.getvalue() + b"\1" * items + b"\0")


def test_our_own_largest_records_are_decoded() -> None:
    codec, encoder = echo_encoder()
    request = Request(JobHeader(new_id(), "echo", NOW, "", labels={"a": "b"}), EchoInput("x" * 8_000_000))
    assert codec.decode(encoder.encode(to_plain(request)))["input"]["message"][:1] == "x"
