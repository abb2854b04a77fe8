"""A deadline as a record's headers tell it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from schemas.headers import DEADLINE, JOB
from streams.worker.in_flight import Assignment, InFlightJob
from streams.worker.supervision import deadlines
from tests.harness.supervisor_driver import Message


def held(*given: tuple[str, bytes]) -> InFlightJob:
    return InFlightJob(1, Message("j", 0, b"", list(given)), Assignment("requests.killer", 0, 0), 1, 0)


def test_a_deadline_is_read_from_the_headers() -> None:
    at = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    job = held((JOB, b"j"), (DEADLINE, at.isoformat().encode()))
    assert deadlines.deadline_from_headers(job) == (at, True)
    assert deadlines.header_deadline(job) == at


@pytest.mark.parametrize("text", [b"", b"soon", b"\xff", b"2030-01-02T03:04:05"])
def test_what_is_no_instant_is_no_deadline(text: bytes) -> None:
    assert deadlines.deadline_from_headers(held((JOB, b"j"), (DEADLINE, text))) == (None, True)


def test_a_record_without_our_headers_tells_nothing() -> None:
    assert deadlines.deadline_from_headers(held()) == (None, False)
