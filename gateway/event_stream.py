"""The stream of one job's events, until its outcome. Each event has an id to continue after."""

from __future__ import annotations

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence

from connectors.views import JobStatus
from gateway.event_hub import EventHub
from gateway.event_ids import JobPlace, LogPlace, not_an_id
from gateway.event_records import Event, Record, events_of
from gateway.event_subscription import Subscription
from gateway.models import Job
from gateway.ports import Ports
from gateway.result_body import result_of_view
from schemas.states import TERMINAL, State
from streams.client.event_record import PROGRESS, Key
from streams.log.memory.partitioner import partition_of

#: Seconds between two signs of life while nothing happens. Each carries an id, so that a client continues near the end.
HEARTBEAT_S = 15.0
#: Seconds after which a stream ends, and its client continues with another one.
LONGEST_S = 3600.0
#: Seconds after which a stream's token is checked again, before the next events are sent.
CHECK_S = 5.0
#: Milliseconds that a client waits before it continues: spread, so that not all come at once after a restart.
RETRY_MS = (500, 2_500)
#: Bytes that are sent at once, about.
CHUNK = 64 << 10
#: Records that a new stream of a running job looks back for text, beyond those in memory.
LOOK_BACK = 20_000
#: Seconds that a new stream waits for the record of an outcome that the store has already.
OUTCOME_S = 2.0


class EventSource(ABC):
    """`chunks` yields bytes of `text/event-stream` after `open`. Call `close` at the end, in any case."""

    def __init__(self, hub: EventHub) -> None:
        self._hub = hub
        self.subscription: Subscription | None = None
        self._until = time.monotonic() + LONGEST_S
        self._check_at = time.monotonic() + CHECK_S
        #: Returns whether the client's token is still valid; None if none is needed.
        self.still_allowed: Callable[[], Awaitable[bool]] | None = None

    @abstractmethod
    async def open(self) -> None: ...

    @abstractmethod
    def chunks(self) -> AsyncGenerator[bytes, None]: ...

    @abstractmethod
    def _heartbeat(self) -> bytes: ...

    def close(self) -> None:
        if self.subscription is not None:
            self._hub.leave(self.subscription)

    async def _live(self, stream: Subscription) -> AsyncIterator[list[Record] | bytes]:
        """Yield records as they come, and heartbeats; end with the stream's own end."""
        pause = (
            HEARTBEAT_S * (1 + secrets.randbelow(1000) / 1000) / 2
        )  # streams that began together do not beat together
        while True:
            await stream.wait(pause)
            records = stream.take()
            if not await self._is_allowed():
                return
            if records or stream.over:
                yield records
            if stream.lagging:
                yield b": too slow, continue with Last-Event-ID\n\n"
            if stream.lagging or stream.closed or time.monotonic() > self._until:
                return
            if not records:
                yield self._heartbeat()
            pause = HEARTBEAT_S

    async def _is_allowed(self) -> bool:
        if self.still_allowed is None or time.monotonic() < self._check_at:
            return True
        self._check_at = time.monotonic() + CHECK_S
        return await self.still_allowed()


class JobEvents(EventSource):
    """Events of one run of a job. `place`: after which they begin; None: with the job's state now."""

    def __init__(self, ports: Ports, tenant: str, job_id: str, run: int | None, place: JobPlace | None) -> None:
        super().__init__(ports.events)
        self._ports = ports
        self._tenant = tenant
        self._job_id = job_id
        self._run = run if place is None else place.run
        self._fresh = place is None
        self._place = place or JobPlace(0, 0)
        self._replay: list[Record] = []
        self._status: JobStatus | None = None

    async def open(self) -> None:
        """Raises NotFound, InvalidInput, Unreachable."""
        await self._ports.reader.status(self._job_id, self._tenant, self._run)  # nothing is opened for an unknown job
        await self._hub.open()
        stream, recent = self._hub.follow(self._job_id)
        self.subscription = stream
        number = self._place.partition
        if self._fresh or number is None:
            number = partition_of(self._job_id.encode(), self._hub.progress_partitions())
        key: Key = (PROGRESS, number)
        if key not in self._hub.positions:
            raise not_an_id()
        first, position = self._hub.first(key), self._hub.positions[key]
        status = await self._ports.reader.status(self._job_id, self._tenant, self._run)
        self._status, run = status, status.run
        begin = self._place.offset
        if self._fresh:
            begins_in_memory = State(status.state) not in (State.PROCESSING, State.RETRYING)
            begin = first if begins_in_memory else max(0, first - LOOK_BACK)
        older = await self._hub.history.of_job(self._job_id, key, begin, first) if begin < first else []
        found = [record for record in (*older, *recent) if record.run == run]
        self._replay = sorted(_newest(found) if self._fresh else found, key=lambda record: record.is_outcome)
        if self._fresh:
            starts = [record.offset for record in self._replay if record.key == key]
            self._place = JobPlace(run, number, starts[0] if starts else position)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        stream, status = self.subscription, self._status
        assert stream is not None
        assert status is not None
        yield retry()
        if self._fresh:
            yield encoded(Event("state", Job.of(status).model_dump_json()), self._place)
        for chunk in self._chunks(self._replay):
            yield chunk
        self._replay = []
        if not self._has_ended() and State(status.state) in TERMINAL:
            await self._wait_for_record(stream, status)
            stream.over = True
            stream.wake()
        async for chunk in self._following(stream):
            yield chunk

    async def _following(self, stream: Subscription) -> AsyncIterator[bytes]:
        if self._has_ended():
            return
        async for found in self._live(stream):
            if isinstance(found, bytes):
                yield found
                continue
            for chunk in self._chunks(found):
                yield chunk
            if stream.over and not self._has_ended():
                stream.over = False
                yield await self._stored_outcome()
            if self._has_ended():
                return

    def _has_ended(self) -> bool:
        return self._place.partition is None

    def _chunks(self, records: Iterable[Record]) -> Iterable[bytes]:
        parts: list[bytes] = []
        size = 0
        for record in records:
            if self._has_ended() or record.run != self._place.run:
                continue
            for part in self._events(record):
                parts.append(part)
                size += len(part)
            if size >= CHUNK:
                yield b"".join(parts)
                parts, size = [], 0
        if parts:
            yield b"".join(parts)

    def _events(self, record: Record) -> Iterable[bytes]:
        """Yield the events of a record that were not sent yet."""
        events = events_of(record, self._status)
        run, number = self._place.run, record.key[1]
        if record.is_outcome:
            if events:
                self._place = JobPlace(run, None)
                yield encoded(events[0], self._place)
            return
        sent = 0
        if number == self._place.partition:
            if record.offset < self._place.offset:
                return
            sent = self._place.sent if record.offset == self._place.offset else 0
        for n, event in enumerate(events[sent:], sent + 1):
            more = n < len(events)
            self._place = JobPlace(run, number, record.offset + (not more), n if more else 0)
            yield encoded(event, self._place)

    async def _wait_for_record(self, stream: Subscription, status: JobStatus) -> None:
        """Wait for the outcome of a job that has just ended: then its last text comes before it."""
        age_s = time.time() - (status.finished_at.timestamp() if status.finished_at else 0)
        if age_s < OUTCOME_S:
            await stream.wait_for_outcome(OUTCOME_S)

    async def _stored_outcome(self) -> bytes:
        run = self._place.run
        view = await self._ports.jobs.call(lambda store: store.job(self._job_id, run))
        if view is None or State(view.state) not in TERMINAL:  # another run has ended
            return b": still running\n\n"
        self._place = JobPlace(run, None)
        return encoded(Event("outcome", result_of_view(view).model_dump_json()), self._place)

    def _heartbeat(self) -> bytes:
        """Return a sign of life. All records up to the hub's position were looked at, so it moves the place there."""
        run, number, offset, sent = self._place
        if number is not None and (reached := self._hub.positions.get((PROGRESS, number), 0)) > offset and not sent:
            self._place = JobPlace(run, number, reached)
        return sign_of_life(self._place)


def _newest(records: Sequence[Record]) -> list[Record]:
    """Return what a new stream shows of the past: the text that still counts, the last progress, and the outcome."""
    last = max((n for n, each in enumerate(records) if each.progress and each.progress.text is None), default=-1)
    begins = max((n for n, each in enumerate(records) if _begins_text(each)), default=0)
    return [
        record
        for n, record in enumerate(records)
        if record.is_outcome
        or n == last
        or (n >= begins and record.progress is not None and record.progress.text is not None)
    ]


def _begins_text(record: Record) -> bool:
    made = record.progress
    return made is not None and made.text is not None and made.sequence == 1


def encoded(event: Event, place: JobPlace | LogPlace) -> bytes:
    return f"event: {event.name}\nid: {place}\ndata: {event.data}\n\n".encode()


def sign_of_life(place: JobPlace | LogPlace) -> bytes:
    """A comment, which proxies see, and an id without data, which changes only where the client continues."""
    return f": alive\nid: {place}\n\n".encode()


def retry() -> bytes:
    return f"retry: {RETRY_MS[0] + secrets.randbelow(RETRY_MS[1] - RETRY_MS[0])}\n\n".encode()
