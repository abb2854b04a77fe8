"""Values that a foreign producer may write: each is set aside or stored without what its job does not need, at once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import Message

from connectors.memory import MemoryDatabase
from schemas import headers
from schemas.plain import to_plain
from schemas.registry import MemoryRegistry
from streams.settings import Settings
from streams.sink import decode, fold, rows
from streams.sink.decode import EventDecoder
from streams.sink.event import Event
from streams.sink.fold import RunFold
from streams.sink.record_types import Guarantees
from tests.harness.sink_kit import (
    job,
    open_sink,
    outcomes,
    records,
    result_bytes,
    states,
    step_and_settle,
    write,
    write_results,
)


class OddError(Exception):
    """An error that nothing foresees."""


def run(settings: Settings) -> None:
    sink = open_sink(settings)
    step_and_settle(sink)
    step_and_settle(sink)
    sink.close()


def of_message(self: Any, message: Message) -> Message:
    return message


def of_event(job: Any, event: Event) -> Message:
    return event.message


def of_run(job: Any, run: RunFold, *_: Any) -> Message:
    return run.best.message


@pytest.mark.parametrize(
    ("part", "name", "message_of"),
    [(EventDecoder, "decode", of_message), (fold, "_add", of_event), (rows, "_run_row", of_run)],
    ids=["decode", "fold", "rows"],
)
@pytest.mark.parametrize("error", [AssertionError, OddError, MemoryError])
def test_a_record_for_which_our_own_code_raises_is_set_aside_at_once_and_the_others_are_stored(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, part: Any, name: str, message_of: Any, error: type[Exception]
) -> None:
    values = write_results(settings, [job() for _ in range(8)])
    original = getattr(part, name)

    def raises(*args: Any) -> Any:
        message = message_of(*args)
        if message.value() == values[3] and message.topic() != settings.topics.dead_letters:
            raise error
        return original(*args)

    monkeypatch.setattr(part, name, raises)
    run(settings)
    assert states(settings) == {"COMPLETED": 7, "FAILED": 1}
    [letter] = records(settings, settings.topics.dead_letters)
    assert letter.value() == values[3]
    assert len(outcomes(settings)) == 8


@pytest.mark.parametrize(("in_ms", "days"), [(2**63 - 1, 13), (2**53, 13), (-(2**63), 0)])
def test_a_retry_waits_no_longer_than_the_log_keeps_its_request(settings: Settings, in_ms: int, days: int) -> None:
    header = job()
    value = result_bytes(settings, header, "retry", retry_in_ms=in_ms)
    write(settings, settings.topics.results("echo"), value, headers.result_headers(header, "retry", 1, source="test"))
    run(settings)
    database = MemoryDatabase.at(settings.database_url.get_secret_value())
    assert database is not None
    [stored] = database.runs.values()
    assert stored.due_at is not None
    assert stored.state == "RETRYING"
    assert (stored.due_at - datetime.now(UTC)).total_seconds() == pytest.approx(days * 86_400, abs=60)


def test_an_id_that_no_registry_gives_is_not_asked_for(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    original = MemoryRegistry.schema_by_id

    def schema_by_id(self: MemoryRegistry, schema_id: int) -> str:
        asked.append(schema_id)
        return original(self, schema_id)

    monkeypatch.setattr(MemoryRegistry, "schema_by_id", schema_by_id)
    value = result_bytes(settings, job())
    write(settings, settings.topics.results("echo"), b"\0\xff\xff\xff\xff" + value[5:])
    run(settings)
    assert len(records(settings, settings.topics.dead_letters)) == 1
    assert max(asked, default=0) < 2**31


def test_a_header_with_as_many_fields_but_other_names_gets_the_missing_ones() -> None:
    plain = to_plain(job())
    renamed = {("sha" if name == "input_sha256" else name): value for name, value in plain.items()}
    assert len(renamed) == len(plain)
    assert decode._header({"header": renamed}, Guarantees(False, False))["input_sha256"] == ""
    assert decode._header({"header": plain}, Guarantees(False, False)) is plain
