"""The parent's main loop for one processor: poll, hand to the child, commit. It steers by headers and decodes nothing.

Three threads: this one polls and writes frames; the child's reader publishes answers (`supervisor.py`); the deliverer serves
delivery reports (`publish.py`). None waits for another but here, at the in-flight cap.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from schemas.errors import SluiceError
from schemas.states import Custody
from streams import logs
from streams.log import kafka
from streams.settings import Settings
from streams.worker.config import ChildConfig
from streams.worker.ledger import Ledger
from streams.worker.partitions import CommitPolicy, Partitions
from streams.worker.progress import ProgressWriter
from streams.worker.publish import Publisher
from streams.worker.supervisor import Supervisor

log = logs.get("worker")

POLL_S = 0.1
POLL_AT_MOST = 500
MAX_POLL_INTERVAL_S = 300.0
#: A wait at the cap that gets this long pauses the partitions and polls, to stay in the group. Never earlier: a pause throws
#: away what was prefetched, 0.7 s of it (measured: 1,400 jobs/s with pauses at the cap, 13,900 with waits).
PAUSE_AFTER_S = MAX_POLL_INTERVAL_S / 2


class Engine:
    """Runs one processor until told to stop."""

    def __init__(self, settings: Settings, config: ChildConfig, policy: CommitPolicy) -> None:
        self._settings = settings
        self._config = config
        self._policy = policy
        self._paused = False
        self._last_poll = 0.0
        self._received = 0
        self._ledger = Ledger(1)
        self._supervisor = Supervisor(config, self._ledger)
        self._partitions: Partitions | None = None

    def status(self) -> dict[str, Any]:
        publisher = self._supervisor.publisher
        return {
            "processor": self._config.processor,
            "child": self._supervisor.pid,
            "partitions": 0 if self._partitions is None else len(self._partitions),
            "in_flight": len(self._ledger),
            "received": self._received,
            "published": 0 if publisher is None else publisher.published,
            "dead_lettered": 0 if publisher is None else publisher.dead_lettered,
            "commits": 0 if self._partitions is None else self._partitions.commits,
            "child_restarts": self._supervisor.restarts,
        }

    def run(self, stop: threading.Event) -> None:
        """Raises StartupError for a processor that can't start, SluiceError when the log can't be read or written."""
        try:
            ready = self._supervisor.start(stop.is_set)
            if ready is not None:
                self._check_custody(ready)
                self._ledger.resize(int(ready["in_flight"]))
                self._serve(stop)
        finally:
            self._supervisor.stop(5.0)

    def _check_custody(self, ready: dict[str, Any]) -> None:
        if ready["custody"] != Custody.OFFSET:
            raise SluiceError(f"Jobs of {self._config.processor!r} are claimed by lease; no worker group reads them.")

    def _serve(self, stop: threading.Event) -> None:
        self._open_log()
        try:
            while not stop.is_set():
                self._cycle()
            self._drain()
        finally:
            self._close_log()

    def _open_log(self) -> None:
        names, processor = self._settings.topics, self._config.processor
        producer = kafka.producer(self._settings)
        self._publisher = Publisher(
            producer, self._ledger, names, processor, self._config.worker_id, self._supervisor.refuse_for_size
        )
        self._supervisor.publisher = self._publisher
        self._progress = ProgressWriter(self._settings, self._publisher, self._ledger, self._config)
        group = f"{self._settings.topic_prefix}workers.{processor}"
        self._consumer = kafka.consumer(
            self._settings,
            group,
            **{
                # Each lane is shared out by itself. The default, uniform, deals all partitions of both as one pile, and may
                # give a second worker the bulk lane only: it would idle beside a queue of live jobs (seen).
                "group.remote.assignor": "range",
                "max.poll.interval.ms": int(MAX_POLL_INTERVAL_S * 1000),
                "on_commit": self._on_commit,
            },
        )
        lanes = [name for name, _ in self._config.topics]
        self._partitions = Partitions(self._consumer, self._ledger, lanes, self._policy)
        self._partitions.on_dropped = self._supervisor.drop
        self._publisher.start()
        self._partitions.subscribe()
        self._last_poll = time.monotonic()
        log.info("worker_ready", processor=processor, group=group)

    def _close_log(self) -> None:
        self._consumer.close()  # gives the partitions back: settles and commits them
        self._publisher.stop(5.0)
        log.info("worker_stopped", **self.status())

    def _on_commit(self, error: KafkaError | None, partitions: list[Any]) -> None:
        if self._partitions is not None:
            self._partitions.committed(error, partitions)

    # ── the loop ──

    def _cycle(self) -> None:
        self._look_after(time.monotonic())
        if self._supervisor.backlog:
            self._supervisor.pump(POLL_S)
            self._stay_in_group()
            return
        room = self._ledger.wait_for_room(POLL_S)
        if room == 0:
            self._stay_in_group()
            return
        self._resume()
        self._take_in(self._poll(min(room, POLL_AT_MOST)))

    def _look_after(self, now: float) -> None:
        assert self._partitions is not None
        for note in self._supervisor.tick(now):
            self._progress.write(note)
        self._partitions.commit_if_due(now)
        if self._publisher.fault is not None:
            raise self._publisher.fault

    def _poll(self, most: int) -> list[Any]:
        """The first record as soon as it is there, and what came with it."""
        self._last_poll = time.monotonic()
        try:
            first = self._consumer.poll(POLL_S)
            if first is None:
                return []
            return [first, *self._consumer.consume(most - 1, 0)] if most > 1 else [first]
        except KafkaException as error:
            raise kafka.translate(error, "reading requests") from error

    def _take_in(self, messages: list[Any]) -> None:
        if not messages:
            return
        assert self._partitions is not None
        owned = self._partitions.by_key
        received_us = time.time_ns() // 1000
        arrivals = [
            (message, owned[message.topic(), message.partition()]) for message in messages if self._has_record(message)
        ]
        admitted = self._ledger.admit(arrivals, received_us)
        self._received += len(admitted)
        self._supervisor.send(admitted)

    def _has_record(self, message: Any) -> bool:
        """False for a message that only tells of an error. Raises when the loop can't go on after it."""
        error = message.error()
        if error is None:
            return True
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise SluiceError(
                f"The group's offset is no longer in the log ({error.str()}): requests were deleted before they were run.",
                next_step="Run `sluice topics plan` to compare retention and offsets.",
            )
        if error.fatal():
            raise kafka.translate(error, "reading requests")
        log.warning("poll_error", reason=error.str())
        return False

    # ── staying in the group while there is no room ──

    def _stay_in_group(self) -> None:
        if not self._paused and time.monotonic() - self._last_poll < PAUSE_AFTER_S:
            return
        self._pause()
        self._take_in(self._poll_paused())

    def _poll_paused(self) -> list[Any]:
        self._last_poll = time.monotonic()
        message = self._consumer.poll(0)
        return [] if message is None else [message]

    def _pause(self) -> None:
        """Also what was assigned since the last pause."""
        self._paused = True
        self._consumer.pause(self._consumer.assignment())

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._consumer.resume(self._consumer.assignment())

    # ── stopping ──

    def _drain(self) -> None:
        """Finish what is held; what is not done in time is run again by whoever owns its partition next."""
        until = time.monotonic() + self._settings.drain_s
        log.info("draining", held=len(self._ledger))
        self._pause()
        while len(self._ledger) and time.monotonic() < until:
            self._look_after(time.monotonic())
            self._supervisor.pump(0)
            self._pause()
            try:
                self._consumer.poll(0)  # rebalances go on; a record that slips through is not admitted, so not lost
            except KafkaException as error:
                raise kafka.translate(error, "draining") from error
            self._ledger.wait_until_empty(POLL_S)
