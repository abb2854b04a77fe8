"""Reads the control topic from its beginning and follows it: one thread for all engines of a worker, in no group.

A worker admits nothing until it has read what was there when it started (bounded): a processor at rest stays at rest, and
jobs that were cancelled while nobody ran are not run. A cancel is known by its key alone; pause and resume are decoded.
"""

from __future__ import annotations

import threading
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from schemas.codec import Codec
from schemas.commands import PAUSE, RESUME
from schemas.errors import SluiceError, UndecodableRecord
from streams import logs
from streams.log import kafka
from streams.log.port import LogConsumer
from streams.log.watermarks import watermarks
from streams.settings import Settings
from streams.worker.command_state import CommandState, PauseState

log = logs.get("worker")

#: A worker that starts waits so long to hear of pauses and cancels; without them it runs what it should not, but it runs.
READ_WITHIN_S = 15.0
AGAIN_S = 1.0
LOOK_S = 0.2
_BATCH = 500


class CommandReader:
    """`start` once, `stop` at the end, also if it was never started.

    Nothing that happens to the topic ends the worker: it is read again from the start.
    """

    def __init__(self, settings: Settings, codec: Codec, orders: CommandState) -> None:
        self._settings = settings
        self._codec = codec
        self.orders = orders
        self._topic = settings.topics.control
        self._stop = threading.Event()
        self._read = threading.Event()
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def wait_until_read(self, timeout: float = READ_WITHIN_S) -> bool:
        """Until everything that the topic held at the start is known."""
        if self._read.wait(timeout):
            return True
        log.warning("command_topic_not_read", topic=self._topic, waited_s=timeout)
        return False

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except SluiceError as error:
                log.warning("command_topic_unreadable", reason=str(error))
                self._stop.wait(AGAIN_S)
            except Exception as error:  # noqa: BLE001 — a worker that no longer hears of cancels must not look as if it did
                log.error("command_topic_failed", reason=type(error).__name__)
                self._stop.wait(AGAIN_S)

    def _follow(self) -> None:
        consumer = kafka.reader(self._settings, **{"enable.partition.eof": True})
        try:
            ends = watermarks(consumer, self._topic)
            consumer.assign([TopicPartition(self._topic, number, low) for number, (low, _) in ends.items()])
            unread = {number for number, (low, end) in ends.items() if low < end}
            while not self._stop.is_set():
                if not unread:
                    self._read.set()
                unread -= self._take_in(consumer)
        except KafkaException as error:
            raise kafka.translate(error, f"reading {self._topic}") from error
        finally:
            consumer.close()

    def _take_in(self, consumer: LogConsumer) -> set[int]:
        """What has come; the partitions that are read to their end."""
        first = consumer.poll(LOOK_S)
        ended = set()
        for message in [first, *consumer.consume(_BATCH, 0)] if first is not None else []:
            error = message.error()
            if error is None:
                self._hear_or_skip(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(int(message.partition() or 0))
            else:
                raise kafka.translate(error, f"reading {self._topic}")
        return ended

    def _hear_or_skip(self, message: Message) -> None:
        """Whatever one record does, the next is heard."""
        try:
            self._hear(message)
        except Exception as error:  # noqa: BLE001 — any: the next one may be a cancel
            place = {"partition": message.partition(), "offset": message.offset()}
            log.error("command_undecodable", reason=type(error).__name__, **place)

    def _hear(self, message: Message) -> None:
        key, value = bytes(message.key() or b""), message.value()
        kind, _, name = key.partition(b":")
        if kind == b"job":
            if value is None:
                self.orders.take_back(key)
            else:
                self.orders.cancel(key, message.timestamp()[1] / 1000)
        elif kind == b"processor" and b":" not in name:  # with one it is a worker's answer
            told = self._rest(value)
            if told is not None:
                self.orders.rest(name.decode(errors="replace"), told)

    def _rest(self, value: Any) -> PauseState | None:
        """None for what nobody can read: the last word goes on."""
        if value is None:
            return PauseState(False)
        try:
            told = self._codec.decode(value)
        except UndecodableRecord as error:
            log.warning("command_undecodable", reason=str(error))
            return None
        action = told.get("action")
        if action not in (PAUSE, RESUME):  # a later version's, or nobody's
            log.warning("command_not_understood", action=str(action)[:50])
            return None
        return PauseState(action == PAUSE, str(told.get("reason") or ""))
