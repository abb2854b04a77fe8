"""Selects the events to store now: those that must not wait, and those held long enough.

Most requests are never decoded: they are held by their Kafka headers until the result comes, which has the same job header.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from confluent_kafka import Message

from connectors.dead_letter_store import DeadLetterRow
from connectors.sink_store import LogPosition
from schemas.contract import unknown_processor
from schemas.errors import SluiceError, UndecodableRecord, Unreachable
from schemas.states import Lane
from streams import logs
from streams.sink.dead_letter_rows import dead_letter_row
from streams.sink.dead_letters import DeadLetters
from streams.sink.decode import EventDecoder, is_near
from streams.sink.event import Event, Phase
from streams.sink.event_buffer import EventBuffer
from streams.sink.suspects import BATCH, Suspects
from streams.sink.topic_table import TopicRole
from streams.sink.waiting import WaitingRecords

log = logs.get("sink")
T = TypeVar("T")

#: So many jobs of the bulk lane are stored along with other events at most: a live result waits for them.
ALONG = 10
#: Seconds between two lines of the log that say that records wait.
WARN_S = 30.0


class EventBatches:
    """Turns messages into events to store. A record whose schema can't be fetched now is put to `waiting`."""

    def __init__(
        self,
        decoder: EventDecoder,
        buffer: EventBuffer,
        waiting: WaitingRecords,
        dead_letters: DeadLetters,
        suspects: Suspects,
    ) -> None:
        self._decoder = decoder
        self._buffer = buffer
        self._waiting = waiting
        self._dead_letters = dead_letters
        self._suspects = suspects
        self._warn_at = 0.0
        self._letters: list[DeadLetterRow] = []

    def take(self, messages: Sequence[Message]) -> list[Event]:
        """Return the events to store now. Undecodable records are confirmed as dead letters before this returns."""
        return list(self._with_headers(self._gather(self._decode_all(messages))))

    def take_letters(self) -> list[DeadLetterRow]:
        """Return the rows of dead letters that were read since the last call. Those of unknown jobs have no event."""
        letters, self._letters = self._letters, []
        return letters

    def take_held(self, limit: int) -> list[Event]:
        """Return the held events of at most `limit` jobs, even if their time is not over."""
        return list(self._with_headers(self._buffer.take_due(float("inf"), limit)))

    def decode(self, message: Message) -> Event | None:
        """Return the record's event; None if it has no job and another component handles it.

        Raises UndecodableRecord, Unreachable.
        """
        if self._suspects.is_convicted(message):
            raise UndecodableRecord("The sink failed each time it handled this record.")
        return _decoded(self._decoder.decode, message)

    def wait(self, message: Message) -> None:
        """Set a record aside until the schema registry answers. No stored or published offset passes it."""
        key = self._decoder.table.topics[message.topic() or ""].topic_id, message.partition() or 0
        now = time.monotonic()
        self._waiting.put(key, message, now)
        if now >= self._warn_at:
            self._warn_at = now + WARN_S
            log.warning("registry_unavailable", next="records whose schema is not known yet wait; all others go on")

    def _decode_all(self, messages: Sequence[Message]) -> list[Event]:
        events, topics = [], self._decoder.table.topics
        for message in messages:
            try:
                event = self.decode(message)
            except Unreachable:
                self.wait(message)
                continue
            except UndecodableRecord as error:
                self._dead_letters.put(message, error)
                event, usable = None, False
            else:
                usable = True
            if event is not None:
                events.append(event)
            topic = topics[message.topic() or ""]
            if topic.role is TopicRole.DEAD_LETTERS:
                position = LogPosition(topic.topic_id, message.partition() or 0, message.offset() or 0)
                self._letters.append(dead_letter_row(message, position, event, self._decoder.table))
            elif topic.role is TopicRole.UNKNOWN_REQUESTS and usable:
                # No worker will dead-letter it. Its job fails, if it names one.
                self._dead_letters.put(message, unknown_processor(topic.processor))
        self._dead_letters.settle()
        return events

    def _gather(self, events: Sequence[Event]) -> list[Event]:
        moving = {event.job_id for event in events if event.phase is not Phase.REQUESTED and not self._may_wait(event)}
        now = time.monotonic()
        self._buffer.ended(len(moving), now)
        ready: list[Event] = []
        for job_id in moving:
            ready += self._buffer.take(job_id)
        ready += self._buffer.take_due(now, BATCH)
        for event in events:
            if event.job_id in moving or not self._may_wait(event):
                ready.append(event)
            else:
                self._buffer.hold(event, now)
        while self._buffer.full:
            ready += self._buffer.take_due(float("inf"), BATCH)
        if ready:  # beside others they cost little; a commit of their own costs much
            ready += self._buffer.take_results(ALONG)
        return ready

    def _may_wait(self, event: Event) -> bool:
        """True if the event need not be stored at once: a request, or a result of the bulk lane."""
        if self._suspects.searching or event.phase is Phase.NOTED:
            return False
        if event.phase is Phase.REQUESTED:
            return not event.leased and (event.undecoded or not is_near(event.header["deadline"]))
        return bool(event.header["lane"] == Lane.BULK)

    def _with_headers(self, events: Sequence[Event]) -> Iterator[Event]:
        """Fill in the header of undecoded requests: copied from the result of the same run, else decoded now."""
        headers = {
            (event.job_id, event.run): event.header
            for event in events
            if event.phase > Phase.REQUESTED and event.header["input_sha256"]
        }
        for event in events:
            if not event.undecoded:
                yield event
            # Copied only once: a second request with the same id may have another input.
            elif (header := headers.pop((event.job_id, event.run), None)) is not None:
                yield event._replace(header=header)
            elif (decoded := self._decode_request(event)) is not None:
                yield decoded

    def _decode_request(self, event: Event) -> Event | None:
        try:
            return _decoded(self._decoder.decode_request, event)
        except Unreachable:
            self.wait(event.message)
        except UndecodableRecord as error:
            self._dead_letters.put(event.message, error)
            self._dead_letters.settle()
        return None


def _decoded(decode: Callable[[T], Event | None], record: T) -> Event | None:
    """Decode; anything that is not an error of this project's own is the record's fault, whatever Python calls it."""
    try:
        return decode(record)
    except SluiceError:
        raise
    except Exception as error:
        raise UndecodableRecord(f"The record can't be decoded: {type(error).__name__}.") from error
