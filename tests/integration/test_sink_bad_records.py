"""Records that the sink can't use, on the real stack: each is set aside and its job fails, and the jobs beside it end well."""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from schemas import headers
from schemas.avsc import result_schema
from schemas.records import ECHO, Timings
from streams import wiring
from streams.settings import Settings
from streams.sink import Sink
from tests.harness.scribe import Scribe, header
from tests.harness.waiting import in_thread

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("sink")]


@pytest.fixture
def sink(settings: Settings) -> Iterator[None]:
    with in_thread(Sink(settings, notify=False).run):
        yield


def test_a_result_that_can_not_be_read_is_dead_lettered_and_its_job_fails(scribe: Scribe) -> None:
    job, neighbour = header(), header()
    scribe.request(job)
    scribe.raw(scribe.names.results("echo"), b"no avro", headers.result_headers(job, "succeeded", 1, source="test"))
    scribe.request(neighbour)
    scribe.result(neighbour)
    scribe.wait(job, "FAILED")
    scribe.wait(neighbour, "COMPLETED")
    assert scribe.dead_letters() == [b"no avro"]
    assert scribe.rows("SELECT error_code FROM outcomes WHERE job_id = %s", job.job_id) == [("UNDECODABLE",)]
    assert len(scribe.messages(scribe.names.outcomes("echo"), 2)) == 2


def test_nul_characters_are_stored_as_replacement_characters(scribe: Scribe) -> None:
    job = header(external_id="nul\0here")
    scribe.result(job, message="a\0b")
    scribe.wait(job, "COMPLETED")
    assert scribe.rows("SELECT output->>'message' FROM outcomes") == [("a\ufffdb",)]
    assert scribe.rows("SELECT external_id FROM jobs") == [("nul\ufffdhere",)]


def test_a_row_that_can_not_be_stored_is_found_in_its_batch_and_set_aside(scribe: Scribe) -> None:
    now = datetime.now(UTC)
    before, after, bad = header(), header(), header()
    scribe.result(before)
    scribe.result(bad, timings=Timings(now, now, now, run_ms=1e300))  # too large for a real
    scribe.result(after)
    scribe.wait(before, "COMPLETED")
    scribe.wait(after, "COMPLETED")
    scribe.wait(bad, "FAILED")
    assert len(scribe.dead_letters()) == 1


def test_a_job_whose_batch_id_no_index_has_room_for_is_stored_without_it(scribe: Scribe) -> None:
    job = header(batch_id=secrets.token_hex(2500))
    scribe.request(job)
    scribe.result(job)
    scribe.wait(job, "COMPLETED")
    assert scribe.rows("SELECT batch_id FROM jobs WHERE job_id = %s", job.job_id) == [(None,)]


def test_a_result_with_naive_times_is_dead_lettered_and_the_sink_goes_on(scribe: Scribe) -> None:
    job, neighbour = header(), header()
    scribe.request(job)
    value = scribe.result_bytes(job)
    with wiring.open_registry(scribe.settings) as registry:
        text = result_schema(ECHO).replace("timestamp-micros", "local-timestamp-micros")
        naive = registry.register("naive-value", text)
    kafka_headers = headers.result_headers(job, "succeeded", 1, source="test")
    scribe.raw(scribe.names.results("echo"), struct.pack(">bI", 0, naive) + value[5:], kafka_headers)
    scribe.result(neighbour)
    scribe.wait(neighbour, "COMPLETED")
    scribe.wait(job, "FAILED")


def test_a_job_id_that_is_no_uuid_is_dead_lettered(scribe: Scribe) -> None:
    bad = header(job_id="job 1")
    scribe.result(bad)
    neighbour = header()
    scribe.result(neighbour)
    scribe.wait(neighbour, "COMPLETED")
    [letter] = scribe.messages(scribe.names.dead_letters, 1)
    assert dict(letter.headers())[headers.DL_REASON] == b"UNDECODABLE"


def test_a_dead_letter_from_a_worker_is_noted_and_its_failed_result_decides(scribe: Scribe) -> None:
    job = header()
    kafka_headers = [
        *headers.request_headers(job, source="test"),
        (headers.DL_TOPIC, scribe.names.requests("echo").encode()),
    ]
    scribe.raw(scribe.names.dead_letters, b"not to be read", kafka_headers)
    scribe.result(job, "failed", code="UNKNOWN_SCHEMA")
    scribe.wait(job, "FAILED")
    scribe.wait_for_kinds(job, "dead_letter", "result")
    assert scribe.rows("SELECT error_code FROM outcomes") == [("UNKNOWN_SCHEMA",)]


def test_a_request_that_can_not_be_read_is_visible_by_its_headers(scribe: Scribe) -> None:
    job = header()
    scribe.raw(scribe.names.requests("echo"), b"?", headers.request_headers(job, source="test"))
    scribe.wait(job, "PENDING")
