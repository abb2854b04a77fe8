"""A worker without processes: reads requests, lets the child's own parts work on them in this process, publishes and commits.

It does what `worker/engine.py` does, in the same order, one batch at a time and with nothing in flight between two steps. What
only processes can do is left out: hard limits, recycling, dying of memory.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from queue import SimpleQueue
from typing import Any

from confluent_kafka import TopicPartition

from processors.policy import Order
from schemas.errors import SluiceError
from streams.log import kafka
from streams.settings import Settings
from streams.worker.child.executor import Inbox
from streams.worker.child.loader import Loaded
from streams.worker.child.main import build_job_runner, choose_executor
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob
from streams.worker.kafka_source.assignment import Assignment
from streams.worker.kafka_source.lane_consumer import job_from
from streams.worker.protocol import Answer, ChildConfig, MessageKind, pack_job
from streams.worker.publisher import Publisher

AT_ONCE = 500
PATIENCE_S = 60.0
WORKER_ID = "flow"

#: job id, stage, percent, message
Tell = Callable[[str, str, float | None, str], None]


class Died(Exception):
    """The worker is gone at the moment that was asked for."""


class InProcessChannel:
    """Hears what the bench says."""

    def __init__(self) -> None:
        self._heard = threading.Condition()
        self._answers: list[Answer] = []
        self._fault: BaseException | None = None

    def started(self, slots: list[int], hard_ms: int | None) -> None:
        """Nobody watches the limit."""

    def answers(self, answers: list[Answer]) -> None:
        with self._heard:
            self._answers += answers
            self._heard.notify_all()

    def dropped(self, slots: list[int]) -> None:
        """Nothing is ever dropped."""

    def prepared(self, slots: list[int]) -> None:
        """Nobody is watched here."""

    def batch_limit(self, bucket: str, max_size: int, max_cost: float | None) -> None:
        """Nobody starts this child again."""

    def failed(self, error: BaseException) -> None:
        with self._heard:
            self._fault = error
            self._heard.notify_all()

    def take(self, count: int) -> list[Answer]:
        """So many answers, waited for. Raises what ended the bench."""
        with self._heard:
            came = self._heard.wait_for(lambda: len(self._answers) >= count or self._fault is not None, PATIENCE_S)
            if self._fault is not None:
                raise self._fault
            if not came:
                raise SluiceError(f"The processor has worked for {PATIENCE_S:.0f} s on one batch.")
            taken, self._answers = self._answers, []
            return taken


class InProcessWorker:
    """`is_cancelled` tells of a job id and a run. `dies_at`: "taken" (nothing is run), "run" (nothing is published) or
    "published" (nothing is committed); once."""

    def __init__(
        self,
        settings: Settings,
        processor: str,
        loaded: list[Loaded],
        *,
        topic_ids: dict[str, str],
        now: Callable[[], datetime],
        is_cancelled: Callable[[str, int], bool],
        tell: Tell,
    ) -> None:
        self.name = processor
        self.dies_at: str | None = None
        self._settings = settings
        self._lanes = [settings.topics.requests(processor, lane) for lane in ("live", "bulk")]
        self._is_cancelled = is_cancelled
        self._tell = tell
        self._running: dict[int, InFlightJob] = {}
        self._channel = InProcessChannel()
        self._inbox: Inbox = SimpleQueue()
        lanes = [[lane, topic_ids[lane]] for lane in self._lanes]
        config = ChildConfig(processor, WORKER_ID, "", str(settings.home), {}, lanes, {})
        runner = build_job_runner(config, settings, loaded, self._progress, now)
        self._executor = choose_executor(runner, self._channel)
        self._one_by_one = runner.models.default.policy.order is not Order.NONE
        self._thread = threading.Thread(target=self._work, name=f"flow-{processor}", daemon=True)
        self._thread.start()
        self._join()

    def step(self) -> bool:
        """Take what is there and see it through. False when there was nothing. Raises Died."""
        found = self._consumer.consume(1 if self._one_by_one else AT_ONCE, 0)
        now_us = time.time_ns() // 1000
        held = self._ledger.admit(
            job_from(one, self._owned[one.topic(), one.partition()], now_us) for one in found if one.error() is None
        )
        if not held:
            return False
        self._die_at("taken")
        answers = self._run(held)
        self._die_at("run")
        for answer in answers:
            self._publisher.publish(answer)
        while len(self._ledger):
            self._publisher.serve(0)
        self._die_at("published")
        self._commit()
        return True

    def close(self) -> None:
        self._inbox.put(None)
        self._thread.join(PATIENCE_S)
        self._consumer.close()

    def start_over(self) -> None:
        """Another worker after this one died: the group finds out, and the new one begins at the last commit."""
        twin: Any = self._consumer
        twin.die()
        self._join()

    # ── one batch ──

    def _run(self, held: Sequence[InFlightJob]) -> list[Answer]:
        self._running = {one.slot: one for one in held}  # for `_progress`, on the bench's threads
        for one in held:
            # Rejected before the child has the job, as the worker does, so that it never begins.
            if self._is_cancelled(*_run_of(one)):
                one.cancel()
        self._inbox.put((MessageKind.JOBS, b"".join(pack_job(one.frame()) for one in held)))
        return self._channel.take(len(held))

    def _commit(self) -> None:
        found = [(one, one.tracker.position()) for one in self._owned.values()]
        moved = [TopicPartition(one.topic, one.partition, at) for one, at in found if at is not None]
        if moved:
            self._consumer.commit(offsets=moved, asynchronous=False)

    def _die_at(self, moment: str) -> None:
        if self.dies_at == moment:
            self.dies_at = None
            raise Died(moment)

    def _progress(self, slot: int, stage: str, percent: float | None, message: str) -> None:
        self._tell(_run_of(self._running[slot])[0], stage, percent, message)

    def _work(self) -> None:
        try:
            self._executor.work(self._inbox)
        except BaseException as error:  # noqa: BLE001 - raised again where the batch is waited for
            self._channel.failed(error)

    # ── the log ──

    def _join(self) -> None:
        self._owned: dict[tuple[str | None, int | None], Assignment] = {}
        self._running = {}
        self._ledger = InFlightJobs()
        self._publisher = Publisher(
            kafka.producer(self._settings), self._ledger, self._settings.topics, self.name, WORKER_ID, _never_too_large
        )
        # A flow begins with empty topics: nobody need say where their beginning is.
        self._consumer = kafka.consumer(
            self._settings,
            f"{self._settings.topic_prefix}workers.{self.name}",
            **{"auto.offset.reset": "earliest"},
        )
        self._consumer.subscribe(self._lanes, on_assign=self._assigned)

    def _assigned(self, consumer: Any, partitions: Iterable[TopicPartition]) -> None:
        for one in partitions:
            lane = self._lanes.index(one.topic)
            self._owned[one.topic, one.partition] = Assignment(one.topic, one.partition, lane)


def _run_of(held: InFlightJob) -> tuple[str, int]:
    """Job id and run, by Kafka's headers."""
    headers = held.frame().headers
    return (headers.job_id or b"").decode(errors="replace"), int(headers.run or 0)


def _never_too_large(held: InFlightJob) -> None:
    raise SluiceError("A result is larger than the log takes, and the writer let it pass.")
