"""Reads the router's topics through Faust: group membership, the joins' table, and commits after confirmed work.

Faust commits what is acknowledged in sequence. One task handles one batch at a time and acknowledges it in the order in which
it was read: Faust would commit past a record that is still in work otherwise.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import faust
from faust.types import EventT

from schemas.errors import SluiceError, StartupError, Unreachable
from streams import logs
from streams.admin.group_offsets import SeededGroup
from streams.health.loop_health import LoopHealth
from streams.router.credentials import credentials
from streams.router.driver import LocalTable, RouterApp
from streams.router.handler import Handler, State
from streams.router.publisher import ReadRecord
from streams.router.stalls import StallWatch
from streams.settings import Settings

log = logs.get("router")

#: Records handled at once, at most.
BATCH = 500
#: Seconds between two looks at the service's stop event and at Faust's state.
TURN_S = 0.1
#: Seconds between two tries of a batch that Kafka or the registry did not take.
RETRY_S = 1.0
#: Seconds that a rebalance waits for the batch in work.
SETTLE_S = 20.0
#: Seconds between two searches for entries that no join waits for any more.
SWEEP_S = 600.0
#: Seconds after which a router that vanished loses its partitions; one with the same member name takes them at once.
SESSION_S = 10.0


class _Read(NamedTuple):
    """A record, and the number of the assignment under which it was read."""

    assignment: int
    event: EventT[Any]


class RouterFlow:
    """Runs a Faust application from its start to its end. Used by one event loop; other threads read its attributes."""

    def __init__(
        self, settings: Settings, group: SeededGroup, member: str, joins: bool, loop_health: LoopHealth
    ) -> None:
        self._settings = settings
        self._loop_health = loop_health
        self._incoming: asyncio.Queue[_Read] = asyncio.Queue(2 * BATCH)
        self._handling = asyncio.Lock()
        self._assignment = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._counted = -1
        self._stalls: StallWatch[Any] = StallWatch()
        #: True while a batch waits for Kafka or the registry.
        self._waits = False
        #: True once partitions are assigned and the table is read back.
        self.ready = False
        #: Partitions that this router reads.
        self.partitions = 0
        self._app = _application(settings, group.name, member, self._settle)
        names = settings.topics
        sources = [topic for topic in group.topics if topic != names.join_parts]
        self._app.agent(self._topic(*sources), name="sources")(self._take)
        self.state: State = {}
        if joins:
            self._app.agent(self._topic(names.join_parts), name="parts")(self._take)
            self.state = LocalTable(
                self._app,
                name="joins",
                key_type=bytes,
                value_type=bytes,
                changelog_topic=self._topic(names.join_state),
                partitions=settings.partitions,
            )
            self._app.tables.add(self.state)

    async def run(self, handler: Handler, stop: threading.Event) -> None:
        """Route until `stop` is set, then finish the batch in work. Raises SluiceError: Faust ended by itself."""
        app = self._app
        working = asyncio.create_task(self._work(handler, stop))
        try:
            await app.start()
            while not stop.is_set():
                self._loop_health.beat()
                if app.crashed or working.done():
                    break
                await self._look(handler)
                await asyncio.sleep(TURN_S)
        finally:
            self.ready = False
            await app.stop()
            crash = app.crash_reason or (working.exception() if working.done() and not working.cancelled() else None)
            working.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await working
        if crash is not None:
            raise SluiceError(f"The router's stream has ended: {type(crash).__name__}.") from crash

    def _topic(self, *names: str) -> Any:
        return self._app.topic(
            *names, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", allow_empty=True
        )

    async def _look(self, handler: Handler) -> None:
        """Note whether Faust has partitions and has read the table back."""
        app = self._app
        tables: Any = app.tables
        recovered = tables.recovery.completed.is_set() and not app.rebalancing
        generation = app.consumer_generation_id
        if recovered and generation != self._counted:
            async with self._handling:
                await asyncio.to_thread(handler.recount, self._owns_parts())
            self._counted = generation
            self._stalls.forget()
            log.info("router_ready", partitions=len(self._owned()), member_generation=generation)
        if recovered:
            await self._watch()
        self.ready = recovered
        self.partitions = len(self._owned())

    async def _watch(self) -> None:
        """Read partitions again from which Faust delivers nothing.

        Raises SluiceError if that does not help: a new process reads from the committed offsets.
        """
        if self._waits:
            self._stalls.forget()
            return
        consumer: Any = self._app.consumer
        changelog = self._settings.topics.join_state
        places = consumer.places(tp for tp in consumer.assignment() if tp.topic != changelog)
        again, hopeless = self._stalls.check(places, time.monotonic())
        for tp in [*again, *hopeless]:
            place = places[tp]
            about = {"offset": place.expected, "end": place.end, "gap": place.gap}
            log.warning("records_read_again", topic=tp.topic, partition=tp.partition, **about)
        for tp in again:
            await consumer.read_again(tp, places[tp].expected)
        if hopeless:
            raise SluiceError("Faust delivers no more records of a partition.")

    def _owned(self) -> set[tuple[str, int]]:
        changelog = self._settings.topics.join_state
        return {(tp.topic, tp.partition) for tp in self._app.consumer.assignment() if tp.topic != changelog}

    def _owns_parts(self) -> Callable[[int], bool]:
        """Return a function that says whether this router has a partition of the joins' parts now."""
        topic, owned = self._settings.topics.join_parts, self._owned()
        return lambda partition: (topic, partition) in owned

    async def _take(self, stream: Any) -> None:
        """The agent of all topics: passes each record on; `_work` acknowledges it."""
        async for event in stream.noack().events():
            await self._incoming.put(_Read(self._assignment, event))

    async def _work(self, handler: Handler, stop: threading.Event) -> None:
        swept_at = time.monotonic()
        while True:
            try:
                reads = [await asyncio.wait_for(self._incoming.get(), SWEEP_S)]
            except TimeoutError:
                reads = []
            self._idle.clear()
            try:
                while len(reads) < BATCH and not self._incoming.empty():
                    reads.append(self._incoming.get_nowait())
                await self._handle(handler, reads, stop)
                if time.monotonic() - swept_at >= SWEEP_S:
                    swept_at = time.monotonic()
                    await self._sweep(handler)
            finally:
                self._idle.set()

    async def _handle(self, handler: Handler, reads: list[_Read], stop: threading.Event) -> None:
        reads = [read for read in reads if self._current(read)]
        records = [_record(read.event) for read in reads]
        while records:
            try:
                async with self._handling:
                    await asyncio.to_thread(handler.handle, records)
                self._waits = False
                break
            except Unreachable as error:
                self._waits = True
                log.warning("dependency_unavailable", reason=error.message, retry_in_s=RETRY_S)
                if stop.is_set():
                    return  # not acknowledged, so another router reads them again
                await asyncio.sleep(RETRY_S)
        for read in reads:
            if self._current(read):
                read.event.ack()

    def _current(self, read: _Read) -> bool:
        """True if partitions have not been given up since the record was read. An acknowledgement that comes later would count
        for the partition when it is read again, and Faust may commit past records that are not handled."""
        return read.assignment == self._assignment

    async def _sweep(self, handler: Handler) -> None:
        expired = await asyncio.to_thread(handler.expired, self._owns_parts())
        with suppress(Unreachable):  # the next sweep finds them again
            for start in range(0, len(expired), BATCH):
                async with self._handling:
                    await asyncio.to_thread(handler.forget, expired[start : start + BATCH])

    async def _settle(self) -> None:
        """Wait for the batch in work, before partitions are given up. What waits is dropped: its next owner reads it again."""
        while not self._incoming.empty():
            self._incoming.get_nowait()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), SETTLE_S)
        self._assignment += 1


def _record(event: EventT[Any]) -> ReadRecord:
    message = event.message
    headers: Any = message.headers or ()
    pairs = headers.items() if isinstance(headers, dict) else headers
    return ReadRecord(message.topic, message.partition, message.offset, message.key, message.value, tuple(pairs))


def _application(settings: Settings, group: str, member: str, settle: Callable[[], Any]) -> RouterApp:
    folder = settings.home / "router"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return RouterApp(
            group,
            settle=settle,
            broker=[f"kafka://{address.strip()}" for address in settings.bootstrap.split(",")],
            broker_credentials=credentials(settings.kafka_config),
            broker_commit_interval=1.0,
            broker_session_timeout=SESSION_S,
            broker_heartbeat_interval=SESSION_S / 4,
            broker_client_id="sluice-router",
            consumer_auto_offset_reset="earliest",
            consumer_group_instance_id=member,
            canonical_url=f"http://{member}",
            datadir=folder,
            store="memory://",
            autodiscover=False,
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            stream_wait_empty=False,  # `settle` waits instead
            stream_recovery_delay=0.0,
        )
    except (faust.exceptions.ImproperlyConfigured, OSError) as error:
        raise StartupError(f"The router can't be set up: {type(error).__name__}: {error}.") from error
