"""Faust, as the router needs it: reads committed records only, keeps a table that the router writes, and logs to our log.

Each class here is for one trap of Faust, measured with 0.15.3 (docs/adr/0026).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import faust
from faust.transport.drivers import aiokafka as faust_aiokafka

from streams import logs
from streams.health.loop_threads import frames_of
from streams.router.stalls import PartitionProgress

log = logs.get("faust")


class _ReadCommittedThread(faust_aiokafka.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> Any:
        """Faust reads aborted transactions unless it uses transactions itself; it asks `in_transaction` only here."""
        consumer: Any = self.consumer
        consumer.in_transaction = True
        try:
            return super()._create_worker_consumer(transport)
        finally:
            consumer.in_transaction = False


class RouterConsumer(faust_aiokafka.Consumer):
    """Reads committed records, and never commits past a record that was not acknowledged.

    Faust looks for a missing record only between acknowledged ones, and not at the first place after the committed offset. It
    acknowledges records of an earlier assignment as if they were of this one.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        #: The first offset that was read since the last seek.
        self._first: dict[Any, int] = {}
        self._read_at: dict[Any, float] = {}

    def _new_consumer_thread(self) -> Any:
        return _ReadCommittedThread(self, loop=self.loop, beacon=self.beacon)

    async def perform_seek(self) -> None:
        """Read on from the committed offsets, also from 0: Faust's client leaves such a partition where it is, beyond records
        that Faust read during a rebalance and dropped."""
        self._first.clear()
        await super().perform_seek()
        for tp in self.assignment():
            if not self._committed_offset[tp] and not self._is_changelog_tp(tp):
                await self._seek(tp, 0)  # if the log begins later, there: `consumer_auto_offset_reset`

    async def read_again(self, tp: Any, offset: int) -> None:
        """Read a partition from this offset, whatever Faust has noted about it."""
        self._first.pop(tp, None)
        self._read_at[tp] = time.monotonic()
        await self.seek(tp, offset)
        self._read_offset[tp] = None  # else it drops what lies before
        self.resume_partitions({tp})

    def ack(self, message: Any) -> bool:
        if message.generation_id != self.app.consumer_generation_id:
            return False
        return super().ack(message)

    def places(self, tps: Iterable[Any]) -> dict[Any, PartitionProgress]:
        return {
            tp: PartitionProgress(
                self._expected(tp), self._gap_before(tp), self.highwater(tp) or 0, self._read_at.get(tp, 0.0)
            )
            for tp in tps
        }

    def _to_message(self, tp: Any, record: Any) -> Any:
        self._first[tp] = min(record.offset, self._first.get(tp, record.offset))
        self._read_at[tp] = time.monotonic()
        return super()._to_message(tp, record)

    def _new_offset(self, tp: Any) -> int | None:
        return None if self._gap_before(tp) else super()._new_offset(tp)

    def _expected(self, tp: Any) -> int:
        return max(self._committed_offset[tp] or 0, self._first.get(tp, 0))

    def _gap_before(self, tp: Any) -> bool:
        acked, expected = self._acked[tp], self._expected(tp)
        if not acked or (head := min(acked)) <= expected:
            return False
        # Some offsets have no record, such as a transaction's end.
        return not any(gap.begin <= expected and gap.end >= head for gap in self._gap[tp])


class _Transport(faust_aiokafka.Transport):
    Consumer = RouterConsumer


class RouterApp(faust.App):
    """An application that reads committed records. `settle` is awaited before partitions are given up or it stops."""

    def __init__(self, id: str, *, settle: Callable[[], Awaitable[None]], **options: Any) -> None:
        super().__init__(id, **options)
        self._settle = settle

    async def _consumer_wait_empty(self, consumer: Any, logger: Any) -> None:
        await self._settle()
        await consumer.commit()

    def FlowControlQueue(self, maxsize: int | None = None, *, clear_on_resume: bool = False) -> Any:
        """Faust reads on from the committed offsets, and clears its queues after that: what it has read by then is lost."""
        return super().FlowControlQueue(maxsize, clear_on_resume=False)

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)


class LocalTable(faust.Table[bytes, bytes]):
    """A table that changes in memory only: the router writes the changelog itself, because Faust does not wait until Kafka
    has confirmed it. Faust reads it back when partitions are assigned."""

    def on_key_set(self, key: bytes, value: bytes) -> None:
        pass

    def on_key_del(self, key: bytes) -> None:
        pass


class _ToStructlog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Log the message; of an exception only its type and place, because its text may quote a record."""
        error = record.exc_info[1] if record.exc_info else None
        more = {"error": type(error).__name__, "frames": frames_of(error)} if error is not None else {}
        # Faust's arguments may hold records; those of aiokafka are names and numbers of topics and brokers.
        message = record.getMessage() if record.name.startswith("aiokafka") else str(record.msg)
        level = "error" if record.levelno >= logging.ERROR else "warning"
        getattr(log, level)("faust_message", source=record.name, message=" ".join(message.split())[:300], **more)


def log_with_structlog() -> None:
    """Send the warnings and errors of Faust and its Kafka client to this project's log. Faust configures no logging."""
    for name in ("faust", "mode", "aiokafka"):
        logger = logging.getLogger(name)
        logger.handlers = [_ToStructlog()]
        logger.setLevel(logging.WARNING)
        logger.propagate = False
