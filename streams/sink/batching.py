"""Selects the events to store now: all events of jobs that have more than a request, and requests held long enough.

Most requests are never decoded: they are held by their Kafka headers until the result comes, which has the same job header.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from confluent_kafka import Message

from schemas.errors import UndecodableRecord
from streams import logs
from streams.log.reconnect import until_reachable
from streams.sink.dead_letters import DeadLetters
from streams.sink.decode import EventDecoder, is_near
from streams.sink.event import Event, Phase
from streams.sink.request_buffer import RequestBuffer
from streams.sink.validate import POISON

log = logs.get("sink")
T = TypeVar("T")

#: Held requests stored with one batch, at most.
BATCH = 500


class EventBatches:
    """Turns messages into events to store. Raises Stopped if the service stops while the schema registry is unreachable."""

    def __init__(
        self, decoder: EventDecoder, buffer: RequestBuffer, dead_letters: DeadLetters, stop: threading.Event
    ) -> None:
        self._decoder = decoder
        self._buffer = buffer
        self._dead_letters = dead_letters
        self._stop = stop

    def take(self, messages: Sequence[Message]) -> list[Event]:
        """Return the events to store now. Undecodable records are confirmed as dead letters before this returns."""
        return list(self._with_headers(self._gather(self._decode_all(messages))))

    def take_held(self, limit: int) -> list[Event]:
        """Return the held requests of at most `limit` jobs, even if their time is not over."""
        return list(self._with_headers(self._buffer.take_due(float("inf"), limit)))

    def decode(self, message: Message) -> Event | None:
        """Return the record's event; None if it has no job and another component handles it. Raises UndecodableRecord."""
        return self._until_decoded(self._decoder.decode, message)

    def _decode_all(self, messages: Sequence[Message]) -> list[Event]:
        events = []
        for message in messages:
            try:
                event = self.decode(message)
            except UndecodableRecord as error:
                self._dead_letters.put(message, error)
            else:
                if event is not None:
                    events.append(event)
        self._dead_letters.settle()
        return events

    def _gather(self, events: Sequence[Event]) -> list[Event]:
        moving = {event.job_id for event in events if event.phase is not Phase.REQUESTED}
        now = time.monotonic()
        ready: list[Event] = []
        for job_id in moving:
            ready += self._buffer.take(job_id)
        ready += self._buffer.take_due(now, BATCH)
        for event in events:
            urgent = event.leased or (not event.undecoded and is_near(event.header["deadline"]))
            if event.job_id in moving or urgent:
                ready.append(event)
            else:
                self._buffer.hold(event, now)
        return ready

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
            return self._until_decoded(self._decoder.decode_request, event)
        except UndecodableRecord as error:
            self._dead_letters.put(event.message, error)
            self._dead_letters.settle()
            return None

    def _until_decoded(self, decode: Callable[[T], Event | None], record: T) -> Event | None:
        """Wait for the registry if a schema is missing: a record is not bad because the registry is unreachable."""
        try:
            return until_reachable(lambda: decode(record), self._stop, log, "registry_unavailable")
        except POISON as error:
            raise UndecodableRecord(f"The record can't be decoded: {type(error).__name__}.") from error
