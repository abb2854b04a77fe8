"""A deadline by a request's Kafka headers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from schemas.headers import DEADLINE, JOB
from streams.worker.job import JobOrigin
from streams.worker.supervision.limits import HeaderDeadline, deadline_from_headers
from tests.harness.jobs import new_job


def deadline(*headers: tuple[str, bytes]) -> HeaderDeadline:
    return deadline_from_headers(new_job(JobOrigin("requests.killer", 0, 0), headers=headers))


def test_a_deadline_is_read_from_the_headers() -> None:
    at = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert deadline((JOB, b"j"), (DEADLINE, at.isoformat().encode())) == (at, True)


@pytest.mark.parametrize("text", [b"", b"soon", b"\xff", b"2030-01-02T03:04:05"])
def test_a_header_that_is_no_time_is_no_deadline(text: bytes) -> None:
    assert deadline((JOB, b"j"), (DEADLINE, text)) == (None, True)


def test_a_request_without_our_headers_has_an_unknown_deadline() -> None:
    assert deadline() == (None, False)
