"""The sink stores a row for each record of `dead-letters`, and dead-letters requests that no worker will read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from connectors.dead_letter_store import DeadLetter, DeadLetterFilter
from schemas import headers
from schemas.errors import StartupError
from schemas.headers import dead_letter_headers
from schemas.ids import new_id
from streams import wiring
from streams.log.memory import MemoryLog
from streams.settings import Settings
from tests.harness.sink_kit import HookedStore, open_sink, records, step_until_read, twin_settings, write

ORIGIN = {"topic": "requests.echo", "partition": 1, "offset": 7, "attempts": 2, "worker": "w-1"}


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    with twin_settings(tmp_path, partitions=1) as settings:
        yield settings


def publish(settings: Settings, topic: str, value: bytes | None, fields: Mapping[str, bytes | None] = {}) -> None:
    write(settings, topic, value, fields.items())


def letter(reason: str = "UNDECODABLE", message: str = "no Avro", **origin: Any) -> dict[str, bytes]:
    return dead_letter_headers(reason=reason, message=message, **{**ORIGIN, **origin})


def rows(settings: Settings) -> list[DeadLetter]:
    with wiring.dead_letter_store(settings) as store:
        return store.find(DeadLetterFilter(), 100)


def read(settings: Settings) -> list[DeadLetter]:
    with closing(open_sink(settings)) as sink:
        step_until_read(sink)
    return rows(settings)


def test_each_dead_letter_is_a_row_also_where_nothing_names_its_job(settings: Settings) -> None:
    job = new_id()
    publish(settings, "dead-letters", b"no avro", letter(message="Byte 12 of 'x' is no Avro."))
    publish(settings, "dead-letters", b"no avro", {headers.JOB: job.encode(), **letter()})
    publish(settings, "dead-letters", None, letter("WORKER_LOST", offset=-1))
    valueless, named, unnamed = read(settings)
    assert (unnamed.reason, unnamed.summary, unnamed.job_id) == ("UNDECODABLE", "Byte … of '…' is no Avro.", None)
    assert (unnamed.processor, unnamed.origin_topic, unnamed.origin_partition) == ("echo", "requests.echo", 1)
    assert (unnamed.origin_offset, unnamed.attempts, unnamed.worker, unnamed.bytes) == (7, 2, "w-1", 7)
    assert (named.job_id, named.run) == (job, 0)
    assert (valueless.bytes, valueless.origin_offset) == (None, -1)


def test_a_record_without_any_of_our_headers_is_a_row_too(settings: Settings) -> None:
    publish(
        settings, "dead-letters", b"x", {headers.DL_PARTITION: b"many", headers.DL_OFFSET: b"9" * 40, "other": None}
    )
    [one] = read(settings)
    assert (one.reason, one.processor, one.origin_topic) == ("UNKNOWN", "", "")
    assert (one.origin_partition, one.origin_offset) == (0, 2**63 - 1)


def test_a_row_is_stored_with_the_offset_that_passes_its_record_or_not_at_all(settings: Settings) -> None:
    def away(name: str, _: Any) -> None:
        if name == "store":
            raise StartupError("The store went away.")

    publish(settings, "dead-letters", b"x", letter())
    with (
        closing(open_sink(settings, HookedStore(wiring.sink_store(settings), away))) as dying,
        pytest.raises(StartupError),
    ):
        step_until_read(dying)
    assert rows(settings) == []
    assert [one.offset for one in read(settings)] == [0]


def test_a_request_of_an_unknown_processor_is_a_dead_letter_and_fails_the_job_that_it_names(settings: Settings) -> None:
    job = new_id()
    log = MemoryLog.at(settings.bootstrap)
    assert log is not None
    log.create_topic("requests.ecko", 1, {})
    publish(settings, "requests.ecko", b"no avro", {headers.JOB: job.encode()})
    publish(settings, "requests.ecko", b"no avro at all")
    found = read(settings)
    assert {(one.reason, one.processor, one.job_id) for one in found} == {
        ("UNKNOWN_PROCESSOR", "ecko", job),
        ("UNKNOWN_PROCESSOR", "ecko", None),
    }
    assert len(records(settings, "dead-letters")) == 2
    with wiring.job_store(settings) as store:
        view = store.job(job)
    assert view is not None
    assert (view.state, view.error and view.error.code) == ("FAILED", "UNKNOWN_PROCESSOR")
