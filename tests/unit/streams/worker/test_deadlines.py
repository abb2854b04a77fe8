"""A deadline as a record's headers tell it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from schemas.headers import DEADLINE, JOB
from streams.worker import deadlines
from streams.worker.ledger import Held, Owned
from tests.unit.streams.worker.supervisor_kit import Message


def held(*given: tuple[str, bytes]) -> Held:
    return Held(1, Message("j", 0, b"", list(given)), Owned("requests.killer", 0, 0), 1, 0)


def test_a_deadline_is_read_from_the_headers() -> None:
    at = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    job = held((JOB, b"j"), (DEADLINE, at.isoformat().encode()))
    assert deadlines.told(job) == (at, True)
    assert deadlines.by_headers(job) == at


@pytest.mark.parametrize("text", [b"", b"soon", b"\xff", b"2030-01-02T03:04:05"])
def test_what_is_no_instant_is_no_deadline(text: bytes) -> None:
    assert deadlines.told(held((JOB, b"j"), (DEADLINE, text))) == (None, True)


def test_a_record_without_our_headers_tells_nothing() -> None:
    assert deadlines.told(held()) == (None, False)
