"""What of the records just read is stored now: everything about jobs that move, and requests that were held long enough.

Most requests are never decoded: by their Kafka headers they are held until the result comes, which brings the same header.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from threading import Event as Flag
from typing import TypeVar

from confluent_kafka import Message

from schemas.errors import UndecodableRecord, Unreachable
from streams import logs
from streams.log.retry import Stopped
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
    """Raises Stopped when told to stop while the registry is away."""

    def __init__(self, reader: EventDecoder, held: RequestBuffer, dead_letters: DeadLetters, stop: Flag) -> None:
        self._reader = reader
        self._held = held
        self._dead_letters = dead_letters
        self._stop = stop

    def take(self, messages: Sequence[Message]) -> list[Event]:
        """The events to store now. What can't be read is in the dead letters, confirmed, when this returns."""
        return list(self._unsealed(self._gather(self._read_all(messages))))

    def take_held(self, limit: int) -> list[Event]:
        """Held requests, however short they have been held."""
        return list(self._unsealed(self._held.take_due(float("inf"), limit)))

    def read(self, message: Message) -> Event | None:
        """The event in a record. Raises UndecodableRecord."""
        return self._patiently(self._reader.read, message)

    def _read_all(self, messages: Sequence[Message]) -> list[Event]:
        events = []
        for message in messages:
            try:
                event = self.read(message)
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
            ready += self._held.take(job_id)
        ready += self._held.take_due(now, BATCH)
        for event in events:
            urgent = event.leased or (not event.sealed and is_near(event.header["deadline"]))
            if event.job_id in moving or urgent:
                ready.append(event)
            else:
                self._held.hold(event, now)
        return ready

    def _unsealed(self, events: Sequence[Event]) -> Iterator[Event]:
        """Every request with its header: lent by the result of the same run, or decoded now."""
        headers = {
            (event.job_id, event.run): event.header
            for event in events
            if event.phase > Phase.REQUESTED and event.header["input_sha256"]
        }
        for event in events:
            if not event.sealed:
                yield event
            # Lent only once: a second request under the same id may have another input.
            elif (header := headers.pop((event.job_id, event.run), None)) is not None:
                yield event._replace(header=header)
            elif (opened := self._opened(event)) is not None:
                yield opened

    def _opened(self, event: Event) -> Event | None:
        try:
            return self._patiently(self._reader.open, event)
        except UndecodableRecord as error:
            self._dead_letters.put(event.message, error)
            self._dead_letters.settle()
            return None

    def _patiently(self, read: Callable[[T], Event | None], given: T) -> Event | None:
        """Wait for the registry if a schema is missing: a record is not bad because the registry is down."""
        while True:
            try:
                return read(given)
            except Unreachable as error:
                log.warning("registry_unavailable", reason=str(error))
                if self._stop.wait(1.0):
                    raise Stopped from error
            except POISON as error:
                raise UndecodableRecord(f"The record can't be read: {type(error).__name__}.") from error
