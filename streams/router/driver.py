"""Faust, as the router needs it: reads committed records only, keeps a table that the router writes, and logs to our log.

Each class here is for one trap of Faust, measured with 0.15.3 (docs/adr/0026).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import faust
from faust.transport.drivers import aiokafka as faust_aiokafka

from streams import logs
from streams.health.loop_threads import frames_of

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


class _ReadCommittedConsumer(faust_aiokafka.Consumer):
    def _new_consumer_thread(self) -> Any:
        return _ReadCommittedThread(self, loop=self.loop, beacon=self.beacon)


class _Transport(faust_aiokafka.Transport):
    Consumer = _ReadCommittedConsumer


class RouterApp(faust.App):
    """An application that reads committed records. `settle` is awaited before partitions are given up or it stops."""

    def __init__(self, id: str, *, settle: Callable[[], Awaitable[None]], **options: Any) -> None:
        super().__init__(id, **options)
        self._settle = settle

    async def _consumer_wait_empty(self, consumer: Any, logger: Any) -> None:
        await self._settle()
        await consumer.commit()

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
