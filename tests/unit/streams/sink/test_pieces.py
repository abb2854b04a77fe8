"""Small parts: topic ids, the roles of topics, delivery ids, JSON and arrays for Postgres."""

from __future__ import annotations

import math
import uuid
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.jsonb import jsonb
from connectors.postgres.arrays import array, integers, micros, moment, uuids
from connectors.postgres.statement import statement
from schemas.errors import UndecodableRecord
from schemas.plain import to_plain
from schemas.records import JobHeader
from streams.settings import Settings
from streams.sink.decode import job_bytes
from streams.sink.rows import delivery_id
from streams.sink.topic_table import TopicRole, parse_topic_id, print_topic_id, role_of
from streams.sink.validate import check, kinds_of


@given(st.binary(min_size=16, max_size=16))
def test_a_topic_id_is_read_as_kafka_prints_it_and_as_a_uuid(topic_id: bytes) -> None:
    assert parse_topic_id(print_topic_id(topic_id)) == topic_id
    assert parse_topic_id(str(UUID(bytes=topic_id))) == topic_id


@pytest.mark.parametrize("text", ["", "a", "a" * 22 + "!", "x" * 36])
def test_what_is_no_topic_id_is_none(text: str) -> None:
    assert parse_topic_id(text) is None


@pytest.mark.parametrize(
    ("topic", "role"),
    [
        ("p.requests.echo", TopicRole.REQUESTS),
        ("p.requests.echo.bulk", TopicRole.REQUESTS),
        ("p.requests.ecko", TopicRole.UNKNOWN_REQUESTS),
        ("p.requests.elsewhere", TopicRole.FOREIGN_REQUESTS),
        ("p.results.ecko", TopicRole.RESULTS),
        ("p.outcomes.echo", None),
        ("p.dead-letters", TopicRole.DEAD_LETTERS),
        ("p.progress", None),
        ("requests.echo", None),
    ],
)
def test_a_topic_is_to_the_sink_what_its_name_says(topic: str, role: TopicRole | None) -> None:
    assert role_of(topic, Settings(topic_prefix="p."), {topic, "p.results.elsewhere"}) is role


def test_a_delivery_id_is_stable_sorts_with_its_job_and_is_a_uuid_of_version_8() -> None:
    job = uuid.UUID("01890000-0000-7000-8000-000000000001").bytes
    made = delivery_id(job, 0)
    assert made == delivery_id(job, 0)
    assert made[:6] == job[:6]
    assert UUID(bytes=made).version == 8
    assert UUID(bytes=made).variant == uuid.RFC_4122
    assert len({made, delivery_id(job, 1), delivery_id(job, 0, sequence=1)}) == 3


@pytest.mark.parametrize(
    "job_id", ["", "1", "01890000-0000-7000-8000-00000000000G", "0189000000007000800000000000000001"]
)
def test_a_job_id_that_is_no_canonical_uuid_is_refused(job_id: str) -> None:
    with pytest.raises(UndecodableRecord):
        job_bytes(job_id)


def test_json_for_postgres_has_no_nul_and_no_nan() -> None:
    assert jsonb({"a\0": ["b\0", math.nan], "n": 1}) == '{"a\ufffd":["b\ufffd",null],"n":1}'.encode()
    assert jsonb("a text that says \\u0000") == b'"a text that says \\\\u0000"'


@given(st.lists(st.uuids()))
def test_uuid_arrays_come_back(values: list[UUID]) -> None:
    assert uuids(array("uuid", [value.bytes for value in values])) == [value.bytes for value in values]


@given(st.lists(st.integers(-(2**31), 2**31 - 1)))
def test_integer_arrays_come_back(values: list[int]) -> None:
    assert integers(array("integer", values)) == values


@given(st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31), timezones=st.just(UTC)))
def test_moments_come_back(value: datetime) -> None:
    assert moment(micros(value)) == value


def test_a_table_of_parameters_becomes_unnest_with_types() -> None:
    made = statement("find_winners")
    assert made.tables == (("c", ("integer", "uuid", "integer", "uuid", "integer", "bigint")),)
    assert "unnest($1::integer[], $2::uuid[]" in made.sql
    assert 'AS c(n, job_id, run, topic_id, partition, "offset")' in made.sql


@pytest.mark.parametrize("name", ["created_at", "deadline", "not_before"])
def test_a_naive_time_in_a_header_is_refused_by_name(name: str) -> None:
    plain = to_plain(JobHeader("j", "echo", datetime.now(UTC), "00"))
    check(plain, kinds_of(JobHeader), "job header")
    with pytest.raises(UndecodableRecord, match=f"'{name}' of the job header has no time zone"):
        check(plain | {name: datetime(2026, 1, 1)}, kinds_of(JobHeader), "job header")
