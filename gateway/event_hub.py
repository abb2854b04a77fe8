"""Passes records of the log to the streams that are open, and keeps the newest in memory for those that begin or continue.

Everything here belongs to the event loop. The log's thread hands in batches and waits until each was taken.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial

from connectors.job_store import JobStore
from connectors.payload_store import PayloadStore
from connectors.views import JobStatus
from gateway.event_records import Record
from gateway.event_subscription import Subscription
from gateway.models import pending
from gateway.store_pool import StorePool
from schemas.codec import Codec
from schemas.envelope import header_of
from schemas.errors import SluiceError, Unreachable
from schemas.ids import is_job_id
from schemas.states import TERMINAL, State
from streams import logs
from streams.client.event_history import EventHistory
from streams.client.event_log import EventLog, Reached
from streams.client.event_record import PROGRESS, Key
from streams.health.loop_threads import LoopThreads
from streams.settings import Settings

log = logs.get("gateway")

#: Bytes and records that are kept in memory.
MOST_BYTES = 32 << 20
MOST_RECORDS = 20_000
#: Jobs whose tenant is remembered.
MOST_KNOWN = 20_000
#: Seconds between two looks for streamed jobs that have ended: should the record of an outcome be missing, its stream ends.
LOOK_S = 30.0
#: Seconds that the first stream waits for Kafka.
OPEN_S = 10.0
#: Jobs of one query.
CHUNK = 500
#: Seconds to wait for a job that the sink has not stored yet, and between two looks.
UNKNOWN_S = 3.0
UNKNOWN_PAUSE_S = 0.1
#: Records that the event loop takes at once.
PART = 100
#: Bytes that a record takes beside its value, about.
OVERHEAD = 400


class EventHub:
    def __init__(
        self,
        settings: Settings,
        jobs: StorePool[JobStore],
        payloads: StorePool[PayloadStore],
        codec: Codec,
        stopping: asyncio.Event,
        loops: LoopThreads,
    ) -> None:
        self._jobs = jobs
        self._payloads = payloads
        self._codec = codec
        self._stopping = stopping
        self._loops = loops
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._log = EventLog(settings, codec, partial(Record, codec), self._hand_over, self._is_wanted)
        self.history: EventHistory[Record] = EventHistory(settings, self._log)
        #: The next offset of every partition; empty until the log was opened.
        self.positions: dict[Key, int] = {}
        self._first: dict[Key, int] = {}  # of every partition, the first offset from which all records are in memory
        self._recent: deque[Record] = deque()
        self._recent_bytes = 0
        self._of_job: dict[str, deque[Record]] = {}
        self._job_streams: dict[str, set[Subscription]] = defaultdict(set)
        self._all_streams: set[Subscription] = set()
        self._known: OrderedDict[str, JobStatus] = OrderedDict()
        self._opened = asyncio.Event()

    # ── its life ──

    async def run(self) -> None:
        """Look after the streams until the gateway stops; then end them, so that their clients continue at another."""
        try:
            while not self._stopping.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._stopping.wait()
                if not self._stopping.is_set():
                    await self._look_for_ends()
            self._end_streams()
            await asyncio.Event().wait()  # until the task is cancelled
        finally:
            self._log.stop.set()
            self._end_streams()

    def close(self) -> None:
        self._log.stop.set()
        self._loop = None
        if self._thread is not None:
            self._thread.join(10)
        self.history.close()

    def _end_streams(self) -> None:
        for each in self._streams():
            each.closed = True
            each.wake()

    def _streams(self) -> Iterable[Subscription]:
        return [*self._all_streams, *(each for streams in self._job_streams.values() for each in streams)]

    async def _look_for_ends(self) -> None:
        """Tell the streams of jobs that have ended in the store."""
        job_ids = list(self._job_streams)
        for start in range(0, len(job_ids), CHUNK):
            chunk = job_ids[start : start + CHUNK]
            try:
                found = await self._jobs.call(partial(_statuses, chunk))
            except SluiceError as error:
                log.warning("jobs_not_read", code=error.code)
                return
            for status in found:
                if State(status.state) in TERMINAL:
                    for stream in self._job_streams.get(status.job_id, ()):
                        stream.over = True
                        stream.wake()

    # ── from the log ──

    def _is_wanted(self, job_id: str) -> bool:
        """Called on the log's thread."""
        return bool(self._all_streams) or job_id in self._job_streams

    def _hand_over(self, reached: Reached[Record]) -> None:
        """Take a batch on the event loop, in parts between which it serves others, and wait. Called on the log's thread."""
        records = reached.records
        last = max(0, len(records) - 1) // PART * PART
        for start in range(0, last, PART):
            self._wait_until_taken(Reached(records[start : start + PART], {}, False))
        self._wait_until_taken(reached._replace(records=records[last:]))

    def _wait_until_taken(self, reached: Reached[Record]) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            with suppress(RuntimeError, TimeoutError):
                asyncio.run_coroutine_threadsafe(self._take(reached), loop).result(10)

    async def _take(self, reached: Reached[Record]) -> None:
        for record in reached.records:
            self._keep(record)
            for stream in self._job_streams.get(record.job_id, ()):
                stream.offer(record)
            for stream in self._all_streams:
                stream.offer(record)
        for key, offset in reached.positions.items():
            self.positions[key] = offset
            self._first.setdefault(key, offset)
        if reached.caught_up:
            self._opened.set()

    def _keep(self, record: Record) -> None:
        self._first.setdefault(record.key, record.offset)
        self._recent.append(record)
        self._recent_bytes += record.size + OVERHEAD
        self._of_job.setdefault(record.job_id, deque()).append(record)
        while len(self._recent) > MOST_RECORDS or self._recent_bytes > MOST_BYTES:
            old = self._recent.popleft()
            self._recent_bytes -= old.size + OVERHEAD
            self._first[old.key] = old.offset + 1
            mates = self._of_job[old.job_id]
            mates.popleft()
            if not mates:
                del self._of_job[old.job_id]

    # ── for streams ──

    async def open(self) -> None:
        """Wait until the log is read; the first stream begins the reading. Raises Unreachable."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._thread = self._loops.new("events", self._log.run, self._log.stop.is_set)
            self._thread.start()
        try:
            async with asyncio.timeout(OPEN_S):
                await self._opened.wait()
        except TimeoutError:
            raise Unreachable(
                "The gateway can't read events from Kafka now.",
                next_step="Try again; `sluice doctor` says what is wrong.",
            ) from None

    def first(self, key: Key) -> int:
        """Return the first offset of a partition from which all records are in memory."""
        return self._first.get(key, self.positions.get(key, 0))

    def progress_partitions(self) -> int:
        return self._log.partitions(PROGRESS)

    def follow(self, job_id: str | None) -> tuple[Subscription, list[Record]]:
        """Begin a stream. Returns what is in memory; everything after that comes through the subscription."""
        stream = Subscription(job_id)
        stream.closed = self._stopping.is_set()
        if job_id is None:
            self._all_streams.add(stream)
            return stream, list(self._recent)
        self._job_streams[job_id].add(stream)
        return stream, list(self._of_job.get(job_id, ()))

    def leave(self, stream: Subscription) -> None:
        if stream.job_id is None:
            self._all_streams.discard(stream)
            return
        streams = self._job_streams.get(stream.job_id)
        if streams is not None:
            streams.discard(stream)
            if not streams:
                del self._job_streams[stream.job_id]

    async def jobs_of(self, job_ids: Iterable[str]) -> dict[str, JobStatus]:
        """Return the jobs by id, as they were when a stream first asked: tenant, case and batch do not change.

        Waits a moment for jobs that are not stored yet; those that stay unknown are left out. Raises Unreachable.
        """
        missing = [job_id for job_id in set(job_ids) if job_id not in self._known and is_job_id(job_id)]
        deadline = asyncio.get_running_loop().time() + UNKNOWN_S
        while missing:
            await self._learn(missing)
            missing = [job_id for job_id in missing if job_id not in self._known]
            if not missing or asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(UNKNOWN_PAUSE_S)
        return {job_id: self._known[job_id] for job_id in job_ids if job_id in self._known}

    async def _learn(self, job_ids: Sequence[str]) -> None:
        for start in range(0, len(job_ids), CHUNK):
            chunk = job_ids[start : start + CHUNK]
            found = await self._jobs.call(partial(_statuses, chunk))
            stored = {status.job_id for status in found}
            rest = [job_id for job_id in chunk if job_id not in stored]
            found += await self._payloads.call(partial(self._accepted, rest))
            for status in found:
                self._known[status.job_id] = status
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)

    def _accepted(self, job_ids: Sequence[str], store: PayloadStore) -> list[JobStatus]:
        payloads = [payload for job_id in job_ids if (payload := store.payload(job_id)) is not None]
        return [pending(header_of(self._codec.decode(payload.value))) for payload in payloads]


def _statuses(job_ids: Sequence[str], store: JobStore) -> list[JobStatus]:
    return store.statuses_of(job_ids)
