"""The stream of the events of all jobs of a tenant. Each event has an id to continue after."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from typing import NamedTuple

from connectors.views import JobStatus
from gateway.event_ids import LogPlace
from gateway.event_records import Record, events_of
from gateway.event_stream import CHUNK, EventSource, encoded, retry, sign_of_life
from gateway.ports import Ports
from schemas.states import Mode
from streams.client.event_record import PROGRESS, Key


class Filter(NamedTuple):
    """Which jobs a stream shows."""

    tenant: str
    processor: str | None = None
    batch_id: str | None = None
    case_id: str | None = None

    def shows(self, status: JobStatus) -> bool:
        pairs = zip(self, (status.tenant, status.processor, status.batch_id, status.case_id), strict=True)
        return all(wanted is None or wanted == actual for wanted, actual in pairs)


class AllEvents(EventSource):
    """Events of all jobs that a filter shows. `place`: after which they begin; None: now."""

    def __init__(self, ports: Ports, shown: Filter, place: LogPlace | None) -> None:
        super().__init__(ports.events)
        self._filter = shown
        self._fresh = place is None
        self._place = place or LogPlace({})
        self._recent: list[Record] = []
        self._missing: dict[Key, tuple[int, int]] = {}

    async def open(self) -> None:
        """Raises Unreachable."""
        await self._hub.open()
        self.subscription, recent = self._hub.follow(None)
        for key, position in sorted(self._hub.positions.items()):
            first = self._hub.first(key)
            if self._fresh:
                self._place.move(key, position)
            elif self._place.next(key) < first:
                self._missing[key] = (self._place.next(key), first)
        self._recent = [] if self._fresh else recent

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        stream = self.subscription
        assert stream is not None
        yield retry() + sign_of_life(self._place)
        while self._missing:
            page = await self._hub.history.of_all(self._missing)
            async for chunk in self._chunks(merged(page.records)):
                yield chunk
            for key, reached in page.reached.items():
                if reached > self._place.next(key):
                    self._place.move(key, reached)
            self._missing = {
                key: (page.reached[key], stop) for key, (_, stop) in self._missing.items() if page.reached[key] < stop
            }
        async for chunk in self._chunks(merged(self._recent)):
            yield chunk
        self._recent = []
        async for found in self._live(stream):
            if isinstance(found, bytes):
                yield found
            else:
                async for chunk in self._chunks(found):
                    yield chunk

    async def _chunks(self, records: Sequence[Record]) -> AsyncIterator[bytes]:
        records = [record for record in records if record.offset >= self._place.next(record.key)]
        asked = {record.job_id for record in records if not record.is_outcome and self._may_show(record)}
        known = await self._hub.jobs_of(asked)
        parts: list[bytes] = []
        size = 0
        for record in records:
            status = known.get(record.job_id)
            for part in self._events(record, status):
                parts.append(part)
                size += len(part)
            if size >= CHUNK:
                yield b"".join(parts)
                parts, size = [], 0
        if parts:
            yield b"".join(parts)

    def _may_show(self, record: Record) -> bool:
        made = record.progress
        return made is not None and not record.is_shadow and self._filter.processor in (None, made.processor)

    def _events(self, record: Record, status: JobStatus | None) -> Iterable[bytes]:
        key, offset = record.key, record.offset
        sent = self._place.sent_of(key, offset)
        events = events_of(record, status) if self._shows(record, status) else []
        for n, event in enumerate(events[sent:], sent + 1):
            more = n < len(events)
            self._place.move(key, offset + (not more), n if more else 0)
            yield encoded(event, self._place)
        if not events:
            self._place.move(key, offset + 1)

    def _shows(self, record: Record, status: JobStatus | None) -> bool:
        if not record.is_outcome:
            return not record.is_shadow and status is not None and self._filter.shows(status)
        if self._filter.processor not in (None, record.key[0]) or record.outcome is None:
            return False
        header = record.outcome[0]
        return header.mode != Mode.SHADOW and self._filter == (
            header.tenant,
            self._filter.processor and header.processor,
            self._filter.batch_id and header.batch_id,
            self._filter.case_id and header.case_id,
        )

    def _heartbeat(self) -> bytes:
        """Return a sign of life. Everything up to the hub's positions was looked at, so it moves the place there."""
        for key, position in self._hub.positions.items():
            if position > self._place.next(key):
                self._place.move(key, position)
        return sign_of_life(self._place)


def merged(records: Iterable[Record]) -> list[Record]:
    """Return records of several partitions by time, each partition in its order; of equal times, progress goes first."""
    by_key: dict[Key, list[Record]] = defaultdict(list)
    for record in records:
        by_key[record.key].append(record)
    keys = sorted(by_key, key=lambda key: key[0] != PROGRESS)
    return list(heapq.merge(*(by_key[key] for key in keys), key=lambda record: record.at_ms))
