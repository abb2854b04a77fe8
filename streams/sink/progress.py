"""Marks jobs as PROCESSING while they run. A thread and a consumer of its own: signs of life never delay results."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaException, Message

from connectors.store import ProgressRow, SinkStore
from schemas.codec import Codec
from schemas.errors import SluiceError, UndecodableRecord
from schemas.records import Progress
from streams import logs, wiring
from streams.health.loop_health import LoopHealth, thread_died, tracked
from streams.log import kafka
from streams.settings import Settings
from streams.sink.decode import job_bytes
from streams.sink.validate import POISON, check, kinds_of

log = logs.get("progress")

BATCH = 500
#: A sign may come before its request is stored (the sink holds requests back for a second): it is kept this long.
KEEP_S = 10.0
TURN_S = 0.2

_KINDS = kinds_of(Progress)


class ProgressWriter:
    """Start and stop it; it looks after itself."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._codec: Codec = wiring.codec(settings)
        self._stop = threading.Event()
        self._latest: dict[tuple[bytes, int], tuple[float, ProgressRow]] = {}
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self.pulse = LoopHealth("progress loop", settings.health_patience_s)

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
            plain = wiring.sink_store(self._settings, application="sluice progress")
            store = tracked(plain, self.pulse, "Postgres")
            # Only what is said from now on matters: old signs of life say nothing.
            consumer = kafka.consumer(
                self._settings, f"{self._settings.topic_prefix}sink-progress", **{"auto.offset.reset": "latest"}
            )
            try:
                consumer.subscribe([self._settings.topics.progress])
                while not self._stop.is_set():
                    self.pulse.beat()
                    self._turn(consumer, store)
            except (SluiceError, KafkaException) as error:
                log.warning("session_restarted", reason=str(error))
                self._stop.wait(1.0)
            except Exception as error:  # noqa: BLE001 — without this thread nobody would see a job move again
                log.error("session_restarted", reason=type(error).__name__)
                self._stop.wait(1.0)
            finally:
                consumer.close()
                store.close()

    def _turn(self, consumer: Consumer, store: SinkStore) -> None:
        first = consumer.poll(TURN_S)
        messages = [] if first is None else [first, *consumer.consume(BATCH - 1, 0)]
        for message in messages:
            self._take(message)
        if self._latest:
            known = mark(store, [row for _, row in self._latest.values()])
            self._forget(known)
        if messages:
            consumer.commit(asynchronous=True, message=messages[-1])

    def _take(self, message: Message) -> None:
        if message.error() is not None:
            return
        try:
            row = self._row(message)
        except (UndecodableRecord, *POISON):
            return  # a sign of life that can't be read is none
        key = (row.job_id, row.run)
        seen = self._latest.get(key)
        if seen is None or _order(row) > _order(seen[1]):
            self._latest[key] = (time.monotonic(), row)

    def _row(self, message: Message) -> ProgressRow:
        plain = self._codec.decode(message.value() or b"")
        check(plain, _KINDS, "progress")
        try:
            return ProgressRow(
                job_bytes(plain["job_id"]),
                plain["run"],
                plain["attempt"],
                plain["execution"],
                plain["sequence"],
                plain["worker_id"],
                plain["stage"],
                plain["percent"],
                plain["message"],
            )
        except KeyError as error:
            raise UndecodableRecord(f"The record is no progress: {error}.") from error

    def _forget(self, known: set[tuple[bytes, int]]) -> None:
        """What was stored, and what nobody ever heard the request of."""
        too_old = time.monotonic() - KEEP_S
        for key, (at, _) in list(self._latest.items()):
            if key in known or at < too_old:
                del self._latest[key]


def mark(store: SinkStore, rows: Sequence[ProgressRow]) -> set[tuple[bytes, int]]:
    """The runs that are known, or whose sign of life the store can't hold: those need not be told again."""
    try:
        return store.mark_progress(rows)
    except POISON:
        if len(rows) == 1:
            return {(rows[0].job_id, rows[0].run)}
        middle = len(rows) // 2
        return mark(store, rows[:middle]) | mark(store, rows[middle:])


def _order(row: ProgressRow) -> tuple[int, int, int]:
    return (row.attempt, row.execution, row.sequence)
