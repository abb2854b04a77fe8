"""Commands from the control topic: cancels of jobs, pauses and resumes of processors. One reader for all engines of a worker.

The topic is read from its beginning, in no group, and followed. A worker admits no job until it has read what was there when it
started (bounded): a paused processor stays paused, and jobs cancelled while no worker ran are not run. A cancel is known by
its key alone; pause and resume are decoded.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from schemas.avsc import self_contained
from schemas.codec import Codec
from schemas.commands import PAUSE, PAUSED, RESUME, RESUMED, acknowledgement_key
from schemas.errors import SluiceError, UndecodableRecord
from schemas.records import Control
from streams import logs, wiring
from streams.health.loop_threads import LoopThreads
from streams.log import kafka
from streams.log.polling import poll_batch
from streams.log.port import LogConsumer
from streams.log.watermarks import watermarks
from streams.settings import Settings
from streams.worker.command_state import CommandState, PauseState
from streams.worker.protocol import ChildConfig
from streams.worker.transport import ResultPublisher

log = logs.get("worker")

#: How long a starting worker waits to learn of pauses and cancels; after that it runs jobs it perhaps should not.
READ_WITHIN_S = 15.0
PAUSE_AFTER_FAILURE_S = 1.0
POLL_S = 0.2
_BATCH = 500


class CommandReader:
    """Call `start` once, and `stop` at the end, also if it was never started.

    No fault of the topic ends the worker: the topic is read again from the start.
    """

    def __init__(self, settings: Settings, codec: Codec, state: CommandState, threads: LoopThreads) -> None:
        self._settings = settings
        self._codec = codec
        self.state = state
        self._topic = settings.topics.control
        self._stop = threading.Event()
        self._read = threading.Event()
        self._thread = threads.new("control", self._run, self._stop.is_set)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def wait_until_read(self, timeout: float = READ_WITHIN_S) -> bool:
        """Wait until everything is read that the topic held at the start; return False at the timeout."""
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
                self._stop.wait(PAUSE_AFTER_FAILURE_S)
            except Exception as error:  # noqa: BLE001 — a worker that no longer hears of cancels must not look healthy
                log.error("command_topic_failed", reason=type(error).__name__)
                self._stop.wait(PAUSE_AFTER_FAILURE_S)

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
        """Handle the records that have come; return the partitions that are read to their end."""
        ended = set()
        for message in poll_batch(consumer, _BATCH, POLL_S):
            error = message.error()
            if error is None:
                self._handle_or_skip(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(int(message.partition() or 0))
            else:
                raise kafka.translate(error, f"reading {self._topic}")
        return ended

    def _handle_or_skip(self, message: Message) -> None:
        """Handle a record; whatever it does wrong, the next one is handled."""
        try:
            self._handle(message)
        except Exception as error:  # noqa: BLE001 — any: the next one may be a cancel
            place = {"partition": message.partition(), "offset": message.offset()}
            log.error("command_undecodable", reason=type(error).__name__, **place)

    def _handle(self, message: Message) -> None:
        key, value = bytes(message.key() or b""), message.value()
        kind, _, name = key.partition(b":")
        if kind == b"job":
            if value is None:
                self.state.withdraw(key)
            else:
                self.state.cancel(key, message.timestamp()[1] / 1000)
        elif kind == b"processor" and b":" not in name:  # with a second colon it is a worker's acknowledgement
            pause = self._decode(value)
            if pause is not None:
                self.state.set_pause(name.decode(errors="replace"), pause)

    def _decode(self, value: Any) -> PauseState | None:
        """Decode a pause or resume; None for a record that can't be read: the command before it stays in force."""
        if value is None:
            return PauseState(False)
        try:
            record = self._codec.decode(value)
        except UndecodableRecord as error:
            log.warning("command_undecodable", reason=str(error))
            return None
        action = record.get("action")
        if action not in (PAUSE, RESUME):  # perhaps a later version's
            log.warning("command_not_understood", action=str(action)[:50])
            return None
        return PauseState(action == PAUSE, str(record.get("reason") or ""))


class PauseAcknowledger:
    """Acknowledges each pause and resume on the control topic, once it is in force."""

    def __init__(
        self, settings: Settings, config: ChildConfig, state: CommandState, publisher: ResultPublisher
    ) -> None:
        self._config = config
        self._state = state
        self._publisher = publisher
        self._topic = settings.topics.control
        codec = wiring.codec(settings, config.schema_ids)
        self._typed = codec.typed(Control, f"{self._topic}-value", self_contained("Control"))
        # A resume from before we started needs no acknowledgement.
        last = state.pause_state(config.processor)
        self._acknowledged: PauseState | None = None if last is None or last.paused else last

    def acknowledge(self) -> None:
        """Acknowledge the last command, if that is still to be done."""
        last = self._state.pause_state(self._config.processor)
        if last is None or last is self._acknowledged:
            return
        self._acknowledged = last
        processor, worker = self._config.processor, self._config.worker_id
        action = PAUSED if last.paused else RESUMED
        record = Control(action, datetime.now(UTC), worker, processor=processor, reason=last.reason)
        self._publisher.write(self._topic, acknowledgement_key(processor, worker), self._typed.encode(record))
        log.info(action, processor=processor)
