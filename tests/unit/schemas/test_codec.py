"""Encoded records decode to the same values, and invalid bytes raise our own errors."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.avsc import request_schema, result_schema, self_contained
from schemas.codec import Codec, schema_id_of
from schemas.envelope import header_of, input_hash, request_of, result_of, typed_input
from schemas.errors import InvalidInput, UndecodableRecord, UnknownSchema
from schemas.ids import new_id
from schemas.plain import to_plain
from schemas.records import (
    ECHO,
    SEGMENTATION,
    Claim,
    Coordinates,
    EchoInput,
    EchoOutput,
    ErrorInfo,
    JobHeader,
    Request,
    Result,
    ResultInfo,
    SegmentationInput,
    Timings,
    Upload,
)
from schemas.registry import MemoryRegistry
from schemas.release import released

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
TEXT = st.text(max_size=40)
MAYBE = st.none() | TEXT
TIMES = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2200, 1, 1)).map(
    lambda t: t.replace(tzinfo=UTC)
)

HEADERS = st.builds(
    JobHeader,
    job_id=st.builds(new_id),
    processor=st.just("echo"),
    created_at=TIMES,
    input_sha256=TEXT,
    run=st.integers(0, 1000),
    attempt=st.integers(1, 100),
    deadline=st.none() | TIMES,
    callback_url=MAYBE,
    case_id=MAYBE,
    source_coordinates=st.none() | st.builds(Coordinates, TEXT, st.integers(0, 99), st.integers(0, 2**62)),
    labels=st.dictionaries(TEXT, TEXT, max_size=3),
)


def codec() -> Codec:
    return Codec(MemoryRegistry())


@given(header=HEADERS, message=TEXT, delay=st.integers(0, 10_000), fail=MAYBE)
def test_a_request_decodes_to_the_same_values(header: JobHeader, message: str, delay: int, fail: str | None) -> None:
    made = codec()
    encoder = made.encoder("requests.echo-value", request_schema(ECHO), register=True)
    request = Request(header, EchoInput(message, delay, fail))
    assert request_of(ECHO, made.decode(encoder.encode(to_plain(request)))) == request


def test_a_result_decodes_to_the_same_values() -> None:
    made = codec()
    encoder = made.encoder("results.echo-value", result_schema(ECHO), register=True)
    info = ResultInfo(
        "failed",
        "worker-1",
        "cpu",
        Timings(NOW, NOW, NOW + timedelta(milliseconds=3), 1.0, 2.0, 0.5, 4),
        error=ErrorInfo("INVALID_INPUT", "no", "InvalidInput", "abc"),
        output_refs=[Claim("file:///x", "0" * 64, 12)],
    )
    for output in (None, EchoOutput("hi", 2)):
        result = Result(JobHeader(new_id(), "echo", NOW, "0" * 64), info, output)
        assert result_of(ECHO, made.decode(encoder.encode(to_plain(result)))) == result


@given(st.binary(max_size=200))
def test_any_bytes_raise_only_our_own_errors(data: bytes) -> None:
    made = codec()
    made.encoder("requests.echo-value", request_schema(ECHO), register=True)
    for candidate in (data, b"\0\0\0\0\1" + data):
        try:
            request_of(ECHO, made.decode(candidate))
        except (UndecodableRecord, UnknownSchema):
            continue


def test_bytes_without_a_frame_are_undecodable() -> None:
    with pytest.raises(UndecodableRecord, match="do not begin with a Confluent frame"):
        schema_id_of(b"{}")


def test_a_schema_id_that_the_registry_does_not_know_is_named() -> None:
    with pytest.raises(UnknownSchema, match="999"):
        codec().decode(struct.pack(">bI", 0, 999) + b"x")


def test_bytes_left_over_are_an_error() -> None:
    made = codec()
    encoder = made.encoder("s", request_schema(ECHO), register=True)
    data = encoder.encode(to_plain(Request(JobHeader(new_id(), "echo", NOW, ""), EchoInput("x"))))
    with pytest.raises(UndecodableRecord, match="3 bytes are left over"):
        made.decode(data + b"abc")


def test_a_record_that_does_not_fit_its_schema_is_refused_when_it_is_encoded() -> None:
    encoder = codec().encoder("s", request_schema(ECHO), register=True)
    with pytest.raises(InvalidInput, match="does not fit its schema"):
        encoder.encode({"header": {}, "input": {"message": 3}})


def test_a_missing_schema_names_the_command_that_registers_it() -> None:
    with pytest.raises(UnknownSchema, match="sluice topics apply"):
        codec().encoder("s", request_schema(ECHO))


def test_a_field_of_a_newer_writer_is_ignored() -> None:
    plain = to_plain(JobHeader(new_id(), "echo", NOW, "")) | {"invented_later": 1}
    assert header_of({"header": plain}).processor == "echo"


def test_an_upload_written_before_there_were_labels_has_none() -> None:
    made = codec()
    before = made.encoder("uploads-value", released()["0.1.0"]["uploads"], register=True)
    upload = Upload(new_id(), Claim("file:///x", "ab" * 32, 1), datetime.now(UTC), labels={"role": "LIS"})
    fields = {name: value for name, value in to_plain(upload).items() if name != "labels"}
    now = made.typed(Upload, "uploads-value", self_contained("Upload"), register=True)
    assert now.decode(before.encode(fields)) == replace(upload, labels={})
    assert now.decode(now.encode(upload)) == upload


def test_equal_inputs_have_equal_hashes_and_others_do_not() -> None:
    encoder = codec().encoder("s", request_schema(ECHO), register=True)
    assert input_hash(encoder, EchoInput("a")) == input_hash(encoder, EchoInput("a", 0, None))
    assert input_hash(encoder, EchoInput("a")) != input_hash(encoder, EchoInput("b"))


def test_json_input_becomes_typed_including_nested_records() -> None:
    given_ = {"volume": {"uri": "file:///v", "sha256": "0" * 64, "size": 3}, "threshold": 0.4}
    claim = Claim("file:///v", "0" * 64, 3)
    assert typed_input(SEGMENTATION, given_) == SegmentationInput(claim, "auto", 0.4)


def test_json_input_that_does_not_fit_names_the_fields() -> None:
    with pytest.raises(InvalidInput, match=r"no field mesage and needs message.*message, delay_ms, fail"):
        typed_input(ECHO, {"mesage": "typo"})


LIST = {"type": "record", "name": "L", "fields": [{"name": "next", "type": ["null", "L"], "default": None}]}


def nested(levels: int) -> dict[str, Any]:
    """Make a schema whose types contain each other by name: its JSON is flat, its values are nested."""
    inner = ["int", *(f"T{n}" for n in range(levels - 1))]
    types = [{"type": "record", "name": f"T{n}", "fields": [{"name": "x", "type": one}]} for n, one in enumerate(inner)]
    fields = [{"name": f"f{n}", "type": ["null", one]} for n, one in enumerate(types)]
    return {"type": "record", "name": "Top", "fields": fields}


def record_of(type_: Any) -> dict[str, Any]:
    return {"type": "record", "name": "R", "namespace": "n", "fields": [{"name": "x", "type": type_}]}


@pytest.mark.parametrize(
    ("schema", "body"),
    [
        (LIST, b"\x02" * 200_000 + b"\x00"),
        (record_of({"type": "map", "values": ["null", "n.R"]}), b"\x00"),
        (record_of({"type": "array", "items": "R"}), b"\x00"),
        (record_of({"type": "array", "items": "null"}), b"\xfe" * 8 + b"\x01"),
        (nested(200), b"\x00" * 200),
    ],
    ids=["list", "map of itself", "array of itself", "array of nothing", "deep by name"],
)
def test_a_schema_that_could_end_the_process_is_refused_before_anything_is_decoded(
    schema: dict[str, Any], body: bytes
) -> None:
    ours = MemoryRegistry()
    data = struct.pack(">bI", 0, ours.register("s", json.dumps(schema))) + body
    there = Codec(ours)
    for _ in range(2):  # the second time from the cache
        with pytest.raises(UndecodableRecord, match="is not used for decoding"):
            there.decode(data)


def test_a_schema_nested_beyond_json_is_refused() -> None:
    ours = MemoryRegistry()
    schema = '{"type":"array","items":' * 50_000 + '"int"' + "}" * 50_000
    with pytest.raises(UndecodableRecord):
        Codec(ours).decode(struct.pack(">bI", 0, ours.register("s", schema)) + b"\x00")


@pytest.mark.parametrize("name", ["created_at", "deadline", "not_before"])
@pytest.mark.parametrize("when", [NOW.replace(tzinfo=None), 7, "yesterday"])
def test_a_header_with_a_time_that_can_not_be_compared_is_undecodable(name: str, when: object) -> None:
    plain = to_plain(JobHeader("j", "echo", NOW, "00")) | {name: when}
    with pytest.raises(UndecodableRecord, match="time"):
        header_of({"header": plain})
