"""Stores orders and answers as they come through `control`. A thread and a consumer of its own: orders are heard while results
are many, and results are never held up by them.

Kafka keeps, Postgres decides: what is stored here takes effect when the timekeeper finds it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from connectors.command_store import AnswerRow, CancelRow, CommandRow, CommandStore
from schemas.codec import Codec
from schemas.contract import NAME
from schemas.errors import SluiceError, UndecodableRecord, Unreachable
from schemas.records import Control
from streams import logs, wiring
from streams.client.commands import CANCEL, PAUSE, PAUSED, RESUME, RESUMED
from streams.health.loop_health import LoopHealth, thread_died, tracked
from streams.log import kafka
from streams.settings import Settings
from streams.sink.decode import job_bytes
from streams.sink.validate import POISON, check, kinds_of

log = logs.get("control")

BATCH = 2000
TURN_S = 0.5
#: What is kept of a reason, in characters.
LONGEST_TEXT = 500

_KINDS = kinds_of(Control)

Row = CancelRow | CommandRow | AnswerRow


class CommandWriter:
    """Start and stop it; it looks after itself."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._codec: Codec = wiring.codec(settings)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)
        self.pulse = LoopHealth("control loop", settings.health_patience_s)

    def start(self) -> None:
        self._thread.start()

    @property
    def dead(self) -> str | None:
        """Whether its thread has ended though nobody told it to."""
        return thread_died(self._thread, self._stop, self.pulse.loop)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stop.is_set():
            # Every order counts, those too that were given while no sink ran.
            consumer = kafka.consumer(
                self._settings, f"{self._settings.topic_prefix}sink-control", **{"auto.offset.reset": "earliest"}
            )
            try:
                with wiring.command_store(self._settings) as plain:
                    store = tracked(plain, self.pulse, "Postgres")
                    consumer.subscribe([self._settings.topics.control])
                    while not self._stop.is_set():
                        self.pulse.beat()
                        self.turn(consumer, store)
            except (SluiceError, KafkaException) as error:
                log.warning("session_restarted", reason=str(error))
                self._stop.wait(1.0)
            except Exception as error:  # noqa: BLE001 — without this thread no order would be stored again
                log.error("session_restarted", reason=type(error).__name__)
                self._stop.wait(1.0)
            finally:
                consumer.close()

    def turn(self, consumer: Consumer, store: CommandStore) -> None:
        """Store the orders that have come; waits a little for the first. Raises Unreachable."""
        first = consumer.poll(TURN_S)
        if first is None:
            return
        messages = [m for m in (first, *consumer.consume(BATCH - 1, 0)) if m.error() is None]  # an error here passes
        if not messages:
            return
        rows = latest(row for message in messages if (row := self._read(message)) is not None)
        write(store, rows)
        consumer.commit(offsets=_after(messages), asynchronous=True)

    def _read(self, message: Message) -> Row | None:
        value = message.value()
        if value is None:  # a key's tombstone
            return None
        try:
            return row_of(self._codec.decode(value))
        except Unreachable:
            raise
        except UndecodableRecord as error:
            reason = error.message
        except POISON as error:  # nothing that one record says may keep the next from being heard
            reason = type(error).__name__
        log.warning("command_not_understood", reason=reason, partition=message.partition(), offset=message.offset())
        return None


def write(store: CommandStore, rows: Sequence[Row]) -> None:
    """Store the rows; one that the store can't hold is found and left out. Raises Unreachable."""
    try:
        store.write(
            [row for row in rows if isinstance(row, CancelRow)],
            [row for row in rows if isinstance(row, CommandRow)],
            [row for row in rows if isinstance(row, AnswerRow)],
        )
    except POISON as error:
        if len(rows) == 1:
            log.error("command_not_stored", kind=type(rows[0]).__name__, reason=type(error).__name__)
            return
        middle = len(rows) // 2
        write(store, rows[:middle])
        write(store, rows[middle:])


def row_of(plain: Mapping[str, Any]) -> Row | None:
    """A decoded record as the row to store; None for an action that this version does not know.

    Raises UndecodableRecord for a record that is no order.
    """
    check(plain, _KINDS, "order")
    try:
        action, at, by = plain["action"], plain["at"], _short(plain["by"])
        if action == CANCEL:
            return CancelRow(job_bytes(plain["job_id"] or ""), plain["run"], at, by, _short(plain["reason"]))
        if action in (PAUSE, RESUME):
            return CommandRow(_processor(plain), action, at, by, _short(plain["reason"]))
        return AnswerRow(_processor(plain), by, action, at) if action in (PAUSED, RESUMED) else None
    except KeyError as error:
        raise UndecodableRecord(f"The record is no order: it has no {error}.") from error


def latest(rows: Iterable[Row]) -> list[Row]:
    """One row a key: the first cancel of a run, the last of everything else."""
    kept: dict[tuple[object, ...], Row] = {}
    for row in rows:
        key = (type(row), *row[:1]) if isinstance(row, CommandRow) else (type(row), *row[:2])
        if key not in kept or not isinstance(row, CancelRow):
            kept[key] = row
    return list(kept.values())


def _after(messages: Iterable[Message]) -> list[TopicPartition]:
    """Where each partition is read on."""
    ends = {m.partition() or 0: (m.topic() or "", (m.offset() or 0) + 1) for m in messages}
    return [TopicPartition(topic, partition, offset) for partition, (topic, offset) in ends.items()]


def _processor(plain: Mapping[str, Any]) -> str:
    name = plain["processor"]
    if not name or NAME.fullmatch(name) is None:
        raise UndecodableRecord("The order names no processor.")
    return str(name)


def _short(text: str) -> str:
    return text[:LONGEST_TEXT]
