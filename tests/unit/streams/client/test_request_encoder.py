"""Inputs and options that become a request, and those that are refused before they are sent."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.avsc import request_schema
from schemas.codec import Codec
from schemas.contract import AnyContract
from schemas.envelope import input_hash, request_of
from schemas.errors import InvalidInput, PayloadTooLarge, UnknownSchema, UsageError
from schemas.ids import derived_id, is_job_id
from schemas.records import ECHO, EMBED, SEGMENTATION, Claim, EchoInput, EmbedInput, SegmentationInput
from schemas.registry import MemoryRegistry
from streams.client.job_options import LONGEST_ID, LONGEST_LABEL, LONGEST_URL, MOST_LABELS, OPTIONS
from streams.client.request_encoder import MAX_INPUT_BYTES, RequestEncoder

CODEC = Codec(MemoryRegistry())
ENCODERS = {
    contract.name: RequestEncoder(contract, f"requests.{contract.name}", CODEC, register=True)
    for contract in (ECHO, EMBED, SEGMENTATION)
}


def encode(contract: AnyContract, input_: Any, **options: Any) -> Any:
    """Encode a request and decode it as its consumer does."""
    header, claims, value = ENCODERS[contract.name].encode(input_, options)
    request = request_of(contract, CODEC.decode(value))
    assert request.header == header
    return request, [claim.uri for claim in claims]


def test_what_is_sent_is_what_is_read() -> None:
    deadline = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    request, claims = encode(
        ECHO,
        EchoInput("grüße"),
        callback_url="http://localhost:8000/done?a=b",
        deadline=deadline,
        labels={"ward": "3"},
        case_id="case-1",
        order_key="patient-7",
    )
    assert request.input == EchoInput("grüße")
    assert request.header.processor == "echo"
    assert request.header.deadline == deadline
    assert request.header.labels == {"ward": "3"}
    assert (request.header.case_id, request.header.order_key) == ("case-1", "patient-7")
    assert (request.header.run, request.header.attempt, request.header.mode) == (0, 1, "live")
    assert claims == []


def test_a_mapping_does_as_well_as_a_dataclass() -> None:
    assert encode(ECHO, {"message": "hi"})[0].input == EchoInput("hi")


def test_a_fresh_job_has_an_id_of_its_own() -> None:
    ids = [encode(ECHO, EchoInput("hi"))[0].header.job_id for _ in range(3)]
    assert len(set(ids)) == 3
    assert all(is_job_id(job_id) for job_id in ids)


def test_the_same_key_makes_the_same_job_within_a_tenant_and_processor() -> None:
    first = encode(ECHO, EchoInput("hi"), idempotency_key="order-17")[0].header
    again = encode(ECHO, EchoInput("hi"), idempotency_key="order-17")[0].header
    other = encode(ECHO, EchoInput("hi"), idempotency_key="order-17", tenant="b")[0].header
    assert first.job_id == again.job_id == derived_id("default", "echo", "order-17")
    assert other.job_id != first.job_id


def test_the_input_hash_is_the_one_of_the_envelope() -> None:
    encoder = CODEC.encoder("requests.echo-value", request_schema(ECHO))
    request, _ = encode(ECHO, EchoInput("hi"), case_id="does not matter")
    assert request.header.input_sha256 == input_hash(encoder, EchoInput("hi"))


def test_the_uris_that_an_input_claims_are_returned() -> None:
    claim = Claim("file:///objects/sha256/aa/bb", "aa" * 32, 10)
    assert encode(SEGMENTATION, SegmentationInput(claim))[1] == [claim.uri]


def test_a_claim_may_come_as_json() -> None:
    fields = {"volume": {"uri": "file:///x", "sha256": "aa" * 32, "size": 10}}
    request, claims = encode(SEGMENTATION, fields)
    assert request.input.volume.content_type == "application/octet-stream"
    assert claims == ["file:///x"]


def test_an_input_that_is_too_large_is_sent_to_the_object_store() -> None:
    encode(ECHO, EchoInput("x" * (MAX_INPUT_BYTES - 100)))
    with pytest.raises(PayloadTooLarge) as caught:
        encode(ECHO, EchoInput("x" * MAX_INPUT_BYTES))
    assert "sluice upload" in str(caught.value)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_refused(bad: float) -> None:
    with pytest.raises(InvalidInput, match="NaN or infinity"):
        encode(EMBED, EmbedInput([0.0] * 63 + [bad]))
    with pytest.raises(InvalidInput, match="NaN or infinity"):
        encode(SEGMENTATION, SegmentationInput(Claim("file:///x", "aa", 1), threshold=bad))


def test_text_where_a_number_belongs_is_refused() -> None:
    with pytest.raises(InvalidInput, match="pixels: item 1: it must be float, not str"):
        encode(EMBED, {"pixels": [0.5, "dark"]})


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (2**31, "delay_ms is beyond 32 bits"),
        (-(2**31) - 1, "beyond 32 bits"),
        (1.5, "delay_ms is a float"),
        (True, "a bool"),
    ],
)
def test_a_number_that_its_field_can_not_hold_is_refused_by_name(value: object, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        encode(ECHO, {"message": "x", "delay_ms": value})


def test_half_a_surrogate_pair_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="message: it contains half a surrogate pair"):
        encode(ECHO, {"message": "x\ud800"})


def test_a_wrong_type_in_a_nested_record_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match=r"volume\.size: is a str; it takes a whole number|volume\.size is a str"):
        encode(SEGMENTATION, {"volume": {"uri": "file:///x", "sha256": "aa", "size": "10"}})


def test_many_large_numbers_are_no_infinity() -> None:
    encode(EMBED, EmbedInput([3e38] * 64))


@pytest.mark.parametrize("option", ["max_attempts", "soft_limit_ms", "hard_limit_ms"])
@pytest.mark.parametrize("value", [2**31, 99_999_999_999, 1.5, True, "3", -1, 0])
def test_a_number_option_that_the_header_can_not_hold_is_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(UsageError, match=option):
        encode(ECHO, EchoInput("x"), **{option: value})


@pytest.mark.parametrize("option", ["deadline", "not_before"])
def test_a_time_that_is_none_is_refused_by_name(option: str) -> None:
    with pytest.raises(UsageError, match=f"{option} is a str"):
        encode(ECHO, EchoInput("x"), **{option: "2030-01-01T00:00:00Z"})


def test_a_missing_field_is_named() -> None:
    with pytest.raises(InvalidInput, match="needs message"):
        encode(ECHO, {})


def test_an_input_of_another_processor_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        encode(ECHO, EmbedInput([0.0]))
    assert "EchoInput" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["ftp://host/x", "localhost:8000", "http://user:secret@host/x", "http:///x", "http://host:99999/", "http://a b/"],
)
def test_a_callback_url_that_can_not_be_called_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        encode(ECHO, EchoInput("hi"), callback_url=url)
    assert "secret" not in str(caught.value)


def test_a_deadline_without_zone_is_refused() -> None:
    with pytest.raises(UsageError, match="no time zone"):
        encode(ECHO, EchoInput("hi"), deadline=datetime(2030, 1, 1))


@pytest.mark.parametrize(
    "option",
    [
        {"not_before": datetime.now(UTC) + timedelta(days=14)},
        {"not_before": datetime.now(UTC) + timedelta(hours=1), "order_key": "not_before"},
        {"not_before": datetime.now(UTC) + timedelta(hours=1), "deadline": datetime.now(UTC) + timedelta(minutes=1)},
        {"mode": "shadow"},
        {"custody": "lease"},
        {"run": -5},
        {"attempt": 2},
        {"max_attempts": 0},
        {"hard_limit_ms": -1},
    ],
    ids=lambda option: " and ".join(option),
)
def test_an_option_without_effect_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(option))):
        encode(ECHO, EchoInput("hi"), **option)


def test_a_job_may_wait_for_its_time_and_one_that_has_passed_is_no_wait() -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    assert encode(ECHO, EchoInput("hi"), not_before=later)[0].header.not_before == later
    assert encode(ECHO, EchoInput("hi"), not_before=datetime.now(UTC))[0].header.not_before is None


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(UsageError, match="no time zone"):
        encode(ECHO, EchoInput("hi"), not_before=datetime(2030, 1, 1))


def test_a_job_is_kept_as_its_processors_contract_says() -> None:
    encoder = RequestEncoder(replace(ECHO, custody="lease"), "requests.echo", CODEC, register=True)
    assert encode(ECHO, EchoInput("hi"), custody="offset")[0].header.custody == "offset"
    assert encoder.encode(EchoInput("hi"), {})[0].custody == "lease"
    assert encoder.encode(EchoInput("hi"), {"custody": "lease"})[0].custody == "lease"
    with pytest.raises(UsageError, match="kept by lease"):
        encoder.encode(EchoInput("hi"), {"custody": "offset"})
    with pytest.raises(ValueError, match="offset or lease"):
        replace(ECHO, custody="hand")


def test_an_unknown_option_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="Unknown job option 'dead_line'") as caught:
        encode(ECHO, EchoInput("hi"), dead_line=None)
    assert "Did you mean 'deadline'?" in str(caught.value)
    with pytest.raises(UsageError, match="Unknown job option 'job_id'"):
        encode(ECHO, EchoInput("hi"), job_id="mine")


def test_a_producer_that_may_not_register_says_what_is_missing() -> None:
    with pytest.raises(UnknownSchema, match="sluice topics apply"):
        RequestEncoder(ECHO, "requests.echo", Codec(MemoryRegistry()), register=False)


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.longest == LONGEST_ID])
def test_an_option_too_long_for_an_index_is_refused_with_its_name_and_limit(name: str) -> None:
    encode(ECHO, EchoInput("hi"), **{name: "é" * LONGEST_ID})
    with pytest.raises(UsageError, match=f"{name} has {LONGEST_ID + 1} characters; it has {LONGEST_ID} at most"):
        encode(ECHO, EchoInput("hi"), **{name: "é" * (LONGEST_ID + 1)})


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"batch_id": "a\0b"}, "batch_id"),
        ({"case_id": "a\ud800"}, "case_id"),
        ({"tenant": 7}, "tenant"),
        ({"callback_url": "http://localhost/" + "x" * LONGEST_URL}, "callback_url"),
        ({"labels": {"k" * (LONGEST_ID + 1): "v"}}, "label"),
        ({"labels": {"k": "v" * (LONGEST_LABEL + 1)}}, "label 'k'"),
        ({"labels": {"a\0": "v"}}, "label"),
        ({"labels": {"a": "\udfff"}}, "label 'a'"),
        ({"labels": {"a": 7}}, "label 'a'"),
        ({"labels": {str(n): "" for n in range(MOST_LABELS + 1)}}, "labels"),
        ({"labels": ["a"]}, "labels"),
    ],
)
def test_an_option_that_the_database_could_not_hold_is_refused_by_name(options: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        encode(ECHO, EchoInput("hi"), **options)


def test_options_that_are_none_are_as_if_not_given() -> None:
    header = encode(ECHO, EchoInput("hi"), **dict.fromkeys(OPTIONS))[0].header
    assert (header.batch_id, header.tenant, header.max_attempts) == (None, "default", 3)
