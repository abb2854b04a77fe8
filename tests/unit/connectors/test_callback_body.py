"""The standard event is valid JSON whatever a processor returns."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.callbacks.body import standard_event, to_json
from connectors.jsonb import jsonb
from schemas.errors import InvalidInput
from streams.cli.output import jsonable

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def refuse_constant(name: str) -> Any:
    raise AssertionError(f"{name} is not JSON")


def strictly(body: bytes) -> Any:
    return json.loads(body.decode("utf-8"), parse_constant=refuse_constant)


def test_the_standard_event_of_a_completed_job() -> None:
    row = {
        "job_id": "j1",
        "run": 0,
        "attempt": 2,
        "processor": "segmentation",
        "status": "COMPLETED",
        "external_id": "ai_req_0001",
        "case_id": "사례-7",
        "output": {"lesion_volume_mm3": 12.5},
        "output_refs": [{"uri": "s3://b/k"}],
        "decided_at": NOW + timedelta(milliseconds=5),
        "callback_url": "http://secret.example/",
    }
    event = strictly(standard_event(row))
    assert event["type"] == "job.completed"
    assert event["timestamp"] == "2026-01-01T00:00:00.005000+00:00"
    assert event["data"]["output"] == {"lesion_volume_mm3": 12.5}
    assert event["data"]["case_id"] == "사례-7"
    assert event["data"]["error"] is None
    assert "callback_url" not in event["data"]


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"code": "INVALID_INPUT", "message": "NaN in volume", "fingerprint": "x"}},
        {"error_code": "INVALID_INPUT", "error_message": "NaN in volume"},
    ],
)
def test_the_standard_event_of_a_failed_job_has_code_and_message(error: dict[str, Any]) -> None:
    event = strictly(standard_event({"job_id": "j1", "status": "FAILED", **error}))
    assert event["type"] == "job.failed"
    assert event["data"]["error"] == {"code": "INVALID_INPUT", "message": "NaN in volume"}
    assert event["data"]["output"] is None


def test_a_nul_is_replaced_as_it_is_in_the_stored_row() -> None:
    output = {"text": "a\0b", "nested": [{"key\0": ("\0", 1)}], "backslash": "\\u0000"}
    row = {"job_id": "j1", "status": "COMPLETED", "output": output}
    body = standard_event(row)
    assert b"\\u0000" not in body.replace(b"\\\\u0000", b"")
    assert strictly(body)["data"]["output"] == strictly(jsonb(output))
    assert strictly(body)["data"]["output"] == {
        "text": "a\ufffdb",
        "nested": [{"key\ufffd": ["\ufffd", 1]}],
        "backslash": "\\u0000",
    }


def test_numbers_that_json_can_not_represent_become_null() -> None:
    value = {"a": math.nan, "b": [1.0, math.inf, (-math.inf,)], "c": {"d": math.nan}}
    assert strictly(to_json(value)) == {"a": None, "b": [1.0, None, [None]], "c": {"d": None}}


@dataclass
class Reading:
    value: float
    at: datetime


def test_ids_times_and_dataclasses_are_encoded_even_next_to_a_nan() -> None:
    id_ = UUID("0190f5d4-7f6c-7000-8000-000000000000")
    assert strictly(to_json({"id": id_, "r": Reading(1.0, NOW)})) == {
        "id": str(id_),
        "r": {"value": 1.0, "at": NOW.isoformat()},
    }
    assert strictly(to_json([id_, Reading(math.nan, NOW)])) == [str(id_), {"value": None, "at": NOW.isoformat()}]


def test_a_lone_surrogate_is_replaced() -> None:
    assert strictly(to_json({"text": "a\ud800b"})) == {"text": "a?b"}


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (b"\x00\xff", "AP8="),
        (bytearray(b"a"), "YQ=="),
        (Decimal("1.10"), "1.10"),
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4), "03:04:00"),
        ([math.nan, b"a"], [None, "YQ=="]),
    ],
)
def test_values_of_avro_that_json_has_no_form_for_get_one(value: object, form: object) -> None:
    assert strictly(to_json({"output": value})) == {"output": form}
    assert jsonable(value) == form or isinstance(value, list)


@pytest.mark.parametrize("value", [object(), {1, 2}, {("a",): 1}, [math.nan, object()]])
def test_a_value_that_json_can_not_represent_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput):
        to_json({"output": value})


def test_a_structure_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(InvalidInput):
        to_json(loop)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_every_output_makes_a_valid_body(output: Any) -> None:
    event = strictly(standard_event({"job_id": "j", "status": "COMPLETED", "output": output}))
    assert event["data"]["job_id"] == "j"
