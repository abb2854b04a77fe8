"""Limits in bytes of what the sink polls, handles, holds and keeps, and records too large for their dead letter."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest
from confluent_kafka import KafkaError, KafkaException, Message

from connectors.sink_store import ProgressRow
from schemas.avsc import self_contained
from schemas.errors import UndecodableRecord, Unreachable
from schemas.ids import new_id
from schemas.records import Progress
from streams import wiring
from streams.log.polling import poll_batch
from streams.settings import Settings
from streams.sink import event_buffer, progress, session
from streams.sink.dead_letters import LONGEST_HEADER, DeadLetters
from streams.sink.event import Phase
from streams.sink.event_buffer import EventBuffer
from streams.sink.progress import ProgressWriter
from streams.sink.session import parts
from tests.harness.events import event
from tests.harness.sink_kit import open_sink, records, states, step_until_read, submit_jobs, write


class Consumer:
    """Has messages of one size; counts the largest portion that was asked for."""

    def __init__(self, count: int, size: int) -> None:
        self._messages = [Message(topic="t", partition=0, offset=n, value=b"v" * size) for n in range(count)]
        self.portions: list[int] = []

    def poll(self, timeout: float) -> Message | None:
        return self._messages.pop(0) if self._messages else None

    def consume(self, count: int, timeout: float) -> list[Message]:
        self.portions.append(count)
        taken, self._messages = self._messages[:count], self._messages[count:]
        return taken


def test_a_poll_stops_at_its_bytes_and_takes_growing_portions() -> None:
    consumer: Any = Consumer(600, 1000)
    assert len(poll_batch(consumer, 500, 0.0, 5000)) == 8
    assert len(poll_batch(consumer, 500, 0.0, 1)) == 1
    assert len(poll_batch(consumer, 500, 0.0, 10**9)) == 500
    assert consumer.portions == [7, 7, 56, 436]
    assert len(poll_batch(consumer, 500, 0.0)) == 91


@pytest.mark.parametrize(("sizes", "expected"), [([], [[]]), ([4, 4, 4], [[4, 4], [4]]), ([20, 1], [[20], [1]])])
def test_what_was_polled_is_handled_in_parts_of_so_many_bytes(
    monkeypatch: pytest.MonkeyPatch, sizes: list[int], expected: list[list[int]]
) -> None:
    monkeypatch.setattr(session, "BATCH_BYTES", 10)
    messages = [Message(topic="t", partition=0, offset=n, value=b"v" * size) for n, size in enumerate(sizes)]
    assert [[len(message.value() or b"") for message in part] for part in parts(messages)] == expected


def test_requests_beyond_the_limit_of_bytes_are_stored_at_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_buffer, "MOST_BYTES", 300)
    submit_jobs(settings, 20)
    sink = open_sink(settings)
    step_until_read(sink)
    assert states(settings)["PENDING"] >= 15
    sink.close()


def test_the_buffer_counts_what_it_holds() -> None:
    buffer = EventBuffer()
    held = event(Phase.REQUESTED, 1)
    size = len(held.message.value() or b"")
    buffer.hold(held, 0.0)
    assert buffer._bytes == size
    buffer.take(held.job_id)
    buffer.hold(held, 0.0)
    buffer.forget(held.position[:2])
    assert (buffer._bytes, buffer.full) == (0, False)


def test_progress_of_too_many_unknown_runs_is_not_kept(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "MOST_RUNS", 1)
    writer = ProgressWriter(wiring.codec(settings))
    rows = iter(range(9))
    monkeypatch.setattr(
        writer, "_row", lambda _: cast(Any, ProgressRow(bytes([next(rows)]) * 16, 0, 1, 1, 1, "w", "s", None))
    )
    writer.handle([Message(topic="t", value=b"")] * 3, wiring.sink_store(settings))
    assert len(writer._latest) == 1


def test_progress_that_needs_the_registry_while_it_is_away_is_skipped(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: object) -> Any:
        raise Unreachable("The registry is away.")

    writer = ProgressWriter(wiring.codec(settings))
    monkeypatch.setattr(writer, "_row", away)
    writer.handle([Message(topic="t", value=b"")], wiring.sink_store(settings))
    assert writer._latest == {}


def test_generated_text_is_not_stored_as_progress(settings: Settings) -> None:
    subject = f"{settings.topics.progress}-value"
    codec = wiring.codec(settings).typed(Progress, subject, self_contained("Progress"))
    made = Progress(new_id(), 0, 1, 1, 1, "echo", "text", "w", datetime.now(UTC))
    writer = ProgressWriter(wiring.codec(settings))
    for record in (made, replace(made, job_id=new_id(), text="The scan shows ")):
        writer.handle([Message(topic="t", value=codec.encode(record))], wiring.sink_store(settings))
    assert [row.job_id for _, row in writer._latest.values()] == [UUID(made.job_id).bytes]


# ── dead letters ──


def rejected(size: int) -> Message:
    fields = [("sluice-job", b"j"), ("huge", b"h" * (LONGEST_HEADER + 1))]
    return Message(topic="results.echo", partition=0, offset=3, key=b"k", value=b"v" * size, headers=cast(Any, fields))


class SmallProducer:
    """Takes records without a value only."""

    def __init__(self) -> None:
        self.written: list[dict[str, bytes]] = []

    def produce(self, topic: str, value: bytes | None, key: bytes, *, headers: Any, on_delivery: Any) -> None:
        if value:
            raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
        self.written.append(dict(headers))
        on_delivery(None, None)

    def poll(self, timeout: float) -> int:
        return 0


def test_a_record_too_large_for_its_dead_letter_is_set_aside_without_its_value() -> None:
    producer = SmallProducer()
    letters = DeadLetters(cast(Any, producer), "dead-letters", "sink")
    letters.put(rejected(10), UndecodableRecord("It is junk."))
    letters.settle()
    [fields] = producer.written
    assert fields["sluice-job"] == b"j"
    assert fields["sluice-dl-topic"] == b"results.echo"
    assert "huge" not in fields


def test_a_record_that_is_no_dead_letter_yet_is_written_whole(settings: Settings) -> None:
    write(settings, settings.topics.results("echo"), b"junk", [("huge", b"h" * (LONGEST_HEADER + 1))])
    sink = open_sink(settings)
    step_until_read(sink)
    sink.close()
    [letter] = records(settings, settings.topics.dead_letters)
    assert letter.value() == b"junk"
    assert "huge" in dict(letter.headers() or ())
