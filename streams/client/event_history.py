"""Reads what has left a gateway's memory from the log again, for streams that continue after a long pause.

One thread with one consumer serves all of them: the requests of one job each that wait at the same time are served by one pass.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Generic, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.errors import Unreachable
from streams.client.event_log import EventLog, R
from streams.client.event_record import Key
from streams.log import kafka
from streams.log.polling import poll_batch
from streams.log.port import LogConsumer
from streams.settings import Settings

#: Records that are read back of one partition, at most; earlier ones are left out.
MOST_BACK = 200_000
#: Records of one page of a stream of all jobs.
PAGE = 5_000
#: Seconds that one pass may take.
PATIENCE_S = 20.0


class Page(NamedTuple, Generic[R]):
    """`reached`: the next offset of each partition. `complete`: everything that was asked for has been read."""

    records: list[R]
    reached: dict[Key, int]
    complete: bool


class _Wanted(NamedTuple, Generic[R]):
    job_id: str
    key: Key
    start: int
    stop: int
    answer: asyncio.Future[list[R]]


class EventHistory(Generic[R]):
    """Its methods belong to the event loop."""

    def __init__(self, settings: Settings, events: EventLog[R]) -> None:
        self._settings = settings
        self._log = events
        self._thread = ThreadPoolExecutor(1, "gateway-event-history")
        self._waiting: list[_Wanted[R]] = []
        self._closed = threading.Event()

    async def of_job(self, job_id: str, key: Key, start: int, stop: int) -> list[R]:
        """Return the job's records of one partition. Raises Unreachable."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[R]] = loop.create_future()
        self._waiting.append(_Wanted(job_id, key, start, stop, answer))
        if len(self._waiting) == 1:
            loop.call_soon(self._begin)
        return await answer

    async def of_all(self, parts: Mapping[Key, tuple[int, int]]) -> Page[R]:
        """Return a page of records of all jobs, by partition from the first offset to before the second. Raises Unreachable."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._page, dict(parts))

    def close(self) -> None:
        self._closed.set()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _begin(self) -> None:
        wanted, self._waiting = self._waiting, []
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._thread, self._pass, wanted)
        done.add_done_callback(lambda found: _answer(wanted, found))

    # ── the thread ──

    def _pass(self, wanted: Sequence[_Wanted[R]]) -> dict[int, list[R]]:
        """Return the records of each request, by its place in the list."""
        of_job: dict[tuple[str, Key], list[int]] = defaultdict(list)
        parts: dict[Key, tuple[int, int]] = {}
        for n, each in enumerate(wanted):
            of_job[each.job_id, each.key].append(n)
            start, stop = parts.get(each.key, (each.start, each.stop))
            parts[each.key] = min(start, each.start), max(stop, each.stop)
        found: dict[int, list[R]] = defaultdict(list)

        def keep(record: R) -> bool:
            for n in of_job.get((record.job_id, record.key), ()):
                if wanted[n].start <= record.offset < wanted[n].stop:
                    found[n].append(record)
            return True

        self._scan(parts, keep)
        return found

    def _page(self, parts: Mapping[Key, tuple[int, int]]) -> Page[R]:
        records: list[R] = []

        def keep(record: R) -> bool:
            records.append(record)
            return len(records) < PAGE

        reached = self._scan(parts, keep)
        complete = all(reached.get(key, start) >= stop for key, (start, stop) in parts.items())
        return Page(records, reached, complete)

    def _scan(self, parts: Mapping[Key, tuple[int, int]], keep: Callable[[R], bool]) -> dict[Key, int]:
        """Pass records to `keep` until it returns False; return the next offset of each partition."""
        reached = {key: max(start, stop - MOST_BACK) for key, (start, stop) in parts.items()}
        topics = {key: self._log.topic(key[0]) for key in parts}
        left = {key for key, (_, stop) in parts.items() if topics[key] is not None and reached[key] < stop}
        reached |= {key: parts[key][1] for key in parts.keys() - left}
        if not left:
            return reached
        with closing(kafka.reader(self._settings, **{"enable.partition.eof": True})) as consumer:
            consumer.assign([TopicPartition(topics[key] or "", key[1], reached[key]) for key in left])
            self._read(consumer, parts, keep, reached, left)
        return reached

    def _read(
        self,
        consumer: LogConsumer,
        parts: Mapping[Key, tuple[int, int]],
        keep: Callable[[R], bool],
        reached: dict[Key, int],
        left: set[Key],
    ) -> None:
        names = {self._log.topic(key[0]): key[0] for key in parts}
        until = time.monotonic() + PATIENCE_S
        while left:
            if time.monotonic() > until or self._closed.is_set():
                raise Unreachable("Kafka did not answer while earlier events were read.")
            for message in poll_batch(consumer, 1_000, 0.2):
                key = (names[message.topic()], int(message.partition() or 0))
                if (error := message.error()) is not None:
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise kafka.translate(KafkaException(error), "reading earlier events")
                    reached[key] = parts[key][1]
                elif key in left:
                    record = self._log.record(message)
                    if record.offset < parts[key][1]:
                        reached[key] = record.offset + 1
                        if not keep(record):
                            return
                    else:
                        reached[key] = parts[key][1]
                if reached[key] >= parts[key][1]:
                    left.discard(key)


def _answer(wanted: Sequence[_Wanted[R]], done: asyncio.Future[dict[int, list[R]]]) -> None:
    error = None if done.cancelled() else done.exception()
    for n, each in enumerate(wanted):
        if each.answer.done():
            continue
        if done.cancelled() or error is not None:
            each.answer.set_exception(error or Unreachable("The gateway stops."))
        else:
            each.answer.set_result(done.result().get(n, []))
