"""A record whose schema can't be fetched now waits aside: it stops no other, and no stored offset passes it."""

from __future__ import annotations

import struct

import pytest

from connectors.memory import MemoryDatabase
from schemas.errors import Unreachable
from schemas.registry import MemoryRegistry
from streams.engine_results import EngineResults
from streams.settings import Settings
from streams.sink import waiting
from streams.sink.waiting import WaitingRecords
from tests.harness.sink_kit import (
    job,
    open_sink,
    outcomes,
    records,
    result_bytes,
    states,
    step_and_settle,
    step_until_read,
    submit_jobs,
    write,
    write_results,
)


class Away:
    """The registry is away for the schemas with these ids; others are fetched."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_away = True
        original = MemoryRegistry.schema_by_id

        def schema_by_id(registry: MemoryRegistry, schema_id: int) -> str:
            if self.is_away and schema_id > 1000:
                raise Unreachable("The registry is away.")
            return original(registry, schema_id % 1000)

        monkeypatch.setattr(MemoryRegistry, "schema_by_id", schema_by_id)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Away:
    monkeypatch.setattr(waiting, "RETRY_S", 0.0)
    return Away(monkeypatch)


def unseen(value: bytes) -> bytes:
    """Return the value as if its schema were registered under an id that the sink has not seen."""
    (schema_id,) = struct.unpack_from(">I", value, 1)
    return value[:1] + struct.pack(">I", 1000 + schema_id) + value[5:]


def write_unseen_result(settings: Settings) -> bytes:
    value = unseen(result_bytes(settings, job()))
    write(settings, settings.topics.results("echo"), value, partition=0)
    return value


def stored_offset(settings: Settings, topic: str, partition: int) -> int:
    database = MemoryDatabase.at(settings.database)
    assert database is not None
    [topic_id] = [topic_id for topic_id, name in database.topics.items() if name == topic]
    return database.offsets["sink", topic_id, partition].next_offset


def test_it_stops_no_other_and_is_stored_once_the_registry_answers(settings: Settings, registry: Away) -> None:
    value = write_unseen_result(settings)
    others = write_results(settings, [job() for _ in range(20)], partition=0)
    submit_jobs(settings, 5)
    sink = open_sink(settings)
    step_and_settle(sink)
    assert sorted(outcomes(settings)) == sorted(others)
    assert states(settings) == {"COMPLETED": 20, "PENDING": 5}
    assert (sink.waiting, stored_offset(settings, settings.topics.results("echo"), 0)) == (1, 0)
    registry.is_away = False
    step_and_settle(sink)
    assert (sink.waiting, stored_offset(settings, settings.topics.results("echo"), 0)) == (0, 21)
    assert value in outcomes(settings)
    sink.close()


def test_a_sink_that_is_stopped_meanwhile_loses_nothing_and_doubles_no_state(
    settings: Settings, registry: Away
) -> None:
    value = write_unseen_result(settings)
    others = write_results(settings, [job() for _ in range(20)], partition=0)
    sink = open_sink(settings)
    step_and_settle(sink)
    sink.close()
    registry.is_away = False
    sink = open_sink(settings)
    step_and_settle(sink)
    sink.close()
    assert states(settings) == {"COMPLETED": 21}
    assert set(outcomes(settings)) == {value, *others}
    assert stored_offset(settings, settings.topics.results("echo"), 0) == 21


def test_a_held_request_that_can_not_be_decoded_waits_as_well(settings: Settings, registry: Away) -> None:
    submit_jobs(settings, 1)
    [request] = [m for topic in ("requests.echo",) for m in records(settings, settings.topics.prefix + topic)]
    write(settings, request.topic() or "", unseen(request.value() or b""), request.headers())
    sink = open_sink(settings)
    step_and_settle(sink)
    assert sink.waiting == 1
    sink.close()
    registry.is_away = False
    sink = open_sink(settings)
    step_and_settle(sink)
    assert sink.waiting == 0
    sink.close()


@pytest.mark.parametrize("restarts", [False, True])
def test_an_outcome_that_needs_the_registry_to_be_encoded_is_published_later(
    settings: Settings, registry: Away, monkeypatch: pytest.MonkeyPatch, restarts: bool
) -> None:
    """A result that can't be decoded fails its job, and the sink makes the failed Result."""
    header = job()
    fields = [("sluice-job", header.job_id.encode()), ("sluice-processor", b"echo")]
    write(settings, settings.topics.results("echo"), b"not avro", fields)
    encoder = EngineResults._encoder

    def away(*_: object) -> None:
        raise Unreachable("The registry is away.")

    monkeypatch.setattr(EngineResults, "_encoder", away)
    sink = open_sink(settings)
    step_and_settle(sink)
    assert (states(settings), outcomes(settings), sink.waiting) == ({"FAILED": 1}, [], 1)
    if restarts:
        step_and_settle(sink)
        sink.close()
        sink = open_sink(settings)
    monkeypatch.setattr(EngineResults, "_encoder", encoder)
    step_until_read(sink)
    sink.settle()
    assert len(outcomes(settings)) == 1
    sink.close()


def test_too_many_waiting_records_stop_the_reading_until_the_registry_answers(
    settings: Settings, registry: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "MOST_RECORDS", 3)
    for _ in range(3):
        write_unseen_result(settings)
    sink = open_sink(settings)
    step_until_read(sink)
    write_results(settings, [job()])
    step_and_settle(sink)
    assert (sink.waiting, states(settings)) == (3, {})
    registry.is_away = False
    step_and_settle(sink)
    step_and_settle(sink)
    assert states(settings) == {"COMPLETED": 4}
    sink.close()


def test_waiting_records_are_counted_in_bytes_and_forgotten_with_their_partition(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "MOST_BYTES", 100)
    write(settings, settings.topics.results("echo"), b"v" * 100, partition=1)
    [message] = records(settings, settings.topics.results("echo"))
    held = WaitingRecords()
    for _ in range(2):
        held.put((b"t", 1), message, 0.0)
    assert (len(held), held.full, held.lowest((b"t", 1)), held.lowest((b"t", 0))) == (1, True, 0, None)
    held.forget((b"t", 1))
    assert (len(held), held.full, held.lowest((b"t", 1))) == (0, False, None)
