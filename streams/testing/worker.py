"""A worker without processes: reads requests, runs them with the child's own parts, publishes results and commits.

It takes the same steps as `worker/engine.py`, one batch at a time, with nothing in flight between two batches. It leaves out
what needs processes: hard limits, recycling, crashes of the child.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from queue import SimpleQueue
from typing import Any

from confluent_kafka import TopicPartition

from processors.policy import Order
from schemas.errors import SluiceError
from schemas.records import JobHeader
from schemas.states import Lane
from streams.health.loop_threads import LoopThreads
from streams.log import kafka
from streams.log.member_ids import member_id
from streams.settings import Settings
from streams.worker.child.assembly import build_job_runner
from streams.worker.child.channel import Inbox
from streams.worker.child.loader import Loaded, load, load_versions
from streams.worker.child.main import choose_executor
from streams.worker.header_from_kafka import header_from_kafka
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob
from streams.worker.kafka_source.assignment import Assignment
from streams.worker.kafka_source.lane_consumer import job_from
from streams.worker.protocol import Answer, ChildConfig, MessageKind, pack_job
from streams.worker.publisher import Publisher

#: Jobs in a batch.
AT_ONCE = 500
PATIENCE_S = 60.0
WORKER_ID = "flow"

#: Called with job id, stage, percent, message.
OnProgress = Callable[[str, str, float | None, str], None]
#: Called with job id, generated text, and True if this is its beginning: an earlier attempt's text counts no more.
OnText = Callable[[str, str, bool], None]


class Died(Exception):
    """The worker died at the moment that the test asked for."""


class InProcessChannel:
    """The ParentChannel of a flow's worker: collects answers. There are no limits to watch and no process to restart."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._answers: list[Answer] = []
        self._error: BaseException | None = None

    def started(self, slots: list[int], hard_ms: int | None) -> None: ...

    def prepared(self, slots: list[int]) -> None: ...

    def discarded(self, slots: list[int]) -> None: ...

    def batch_limit(self, bucket: str, max_size: int, max_cost: float | None) -> None: ...

    def device_lost(self, slots: list[int], reason: str) -> None: ...

    def answers(self, answers: list[Answer]) -> None:
        with self._changed:
            self._answers += answers
            self._changed.notify_all()

    def failed(self, error: BaseException) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def take(self, count: int) -> list[Answer]:
        """Wait for this many answers and return them. Raises the error that ended the executor."""
        with self._changed:
            in_time = self._changed.wait_for(lambda: len(self._answers) >= count or self._error is not None, PATIENCE_S)
            if self._error is not None:
                raise self._error
            if not in_time:
                raise SluiceError(f"The processor has worked for {PATIENCE_S:.0f} s on one batch.")
            taken, self._answers = self._answers, []
            return taken


class InProcessWorker:
    """`is_cancelled` is asked with a job id and a run. `dies_at`: "taken" (nothing has run), "run" (nothing is published) or
    "published" (nothing is committed); the worker dies there once."""

    def __init__(
        self,
        settings: Settings,
        processor: str,
        loaded: list[Loaded],
        *,
        topic_ids: dict[str, str],
        now: Callable[[], datetime],
        is_cancelled: Callable[[str, int], bool],
        on_progress: OnProgress,
        on_text: OnText,
    ) -> None:
        self.name = processor
        self.dies_at: str | None = None
        self._settings = settings
        self._topics = [settings.topics.requests(processor, lane) for lane in Lane]
        self._is_cancelled = is_cancelled
        self._on_progress = on_progress
        self._on_text = on_text
        self._running: dict[int, InFlightJob] = {}
        self._narrating: set[int] = set()
        self._channel = InProcessChannel()
        self._inbox: Inbox = SimpleQueue()
        topics = [[topic, topic_ids[topic]] for topic in self._topics]
        config = ChildConfig(processor, WORKER_ID, "", str(settings.home), {}, topics, {})
        runner = build_job_runner(config, settings, loaded, self, now)
        self._client_id = member_id(WORKER_ID, (model.version for model in runner.models))
        self._executor = choose_executor(runner, self._channel)
        self._one_by_one = runner.models.default.policy.order is not Order.NONE
        self._thread = threading.Thread(target=self._work, name=f"flow-{processor}", daemon=True)
        self._thread.start()
        self._join()

    def step(self) -> bool:
        """Run the requests that are there, publish their results and commit. Returns False if there were none. Raises Died."""
        messages = self._consumer.consume(1 if self._one_by_one else AT_ONCE, 0)
        now_us = time.time_ns() // 1000
        jobs = self._in_flight.admit(
            job_from(message, self._assignments[message.topic(), message.partition()], now_us)
            for message in messages
            if message.error() is None
        )
        if not jobs:
            return False
        self._die_at("taken")
        answers = self._run(jobs)
        self._die_at("run")
        for answer in answers:
            self._publisher.publish(answer)
        while len(self._in_flight):
            self._publisher.serve(0)
        self._die_at("published")
        self._commit()
        return True

    def close(self) -> None:
        self._inbox.put(None)
        self._thread.join(PATIENCE_S)
        self._consumer.close()

    def start_over(self) -> None:
        """Start as another worker after this one died: the group notices, and the new one begins at the last commit."""
        twin: Any = self._consumer
        twin.die()
        self._join()

    # ── one batch ──

    def _run(self, jobs: Sequence[InFlightJob]) -> list[Answer]:
        self._narrating.clear()
        self._running = {job.slot: job for job in jobs}  # for `progress` and `text`, on the executor's threads
        for job in jobs:
            # Like a worker, reject a cancelled job before the child has it, so that it never begins.
            header = self._header(job)
            if header is not None and self._is_cancelled(header.job_id, header.run):
                job.mark_cancelled()
        self._inbox.put((MessageKind.JOBS, b"".join(pack_job(job.frame()) for job in jobs)))
        return self._channel.take(len(jobs))

    def _commit(self) -> None:
        positions = [(assignment, assignment.tracker.position()) for assignment in self._assignments.values()]
        moved = [TopicPartition(one.topic, one.partition, offset) for one, offset in positions if offset is not None]
        if moved:
            self._consumer.commit(offsets=moved, asynchronous=False)

    def _die_at(self, moment: str) -> None:
        if self.dies_at == moment:
            self.dies_at = None
            raise Died(moment)

    def progress(self, slot: int, stage: str, percent: float | None, message: str) -> None:
        header = self._header(self._running[slot])
        if header is not None:
            self._on_progress(header.job_id, stage, percent, message)

    def text(self, slot: int, text: str, *, restart: bool = False) -> None:
        header = self._header(self._running[slot])
        if header is not None:
            self._on_text(header.job_id, text, restart or slot not in self._narrating)
            self._narrating.add(slot)

    def _header(self, job: InFlightJob) -> JobHeader | None:
        return header_from_kafka(job.frame(), self.name)

    def _work(self) -> None:
        try:
            self._executor.work(self._inbox)
        except BaseException as error:  # noqa: BLE001 - raised again where the batch is waited for
            self._channel.failed(error)

    # ── the log ──

    def _join(self) -> None:
        self._assignments: dict[tuple[str | None, int | None], Assignment] = {}
        self._running = {}
        self._in_flight = InFlightJobs()
        producer = kafka.producer(self._settings)
        self._publisher = Publisher(
            producer,
            self._in_flight,
            self._settings.topics,
            self.name,
            WORKER_ID,
            _never_too_large,
            LoopThreads("worker", None),
        )
        # A flow begins with empty topics, so the earliest offset is the first one.
        self._consumer = kafka.consumer(
            self._settings,
            f"{self._settings.topic_prefix}workers.{self.name}",
            **{"auto.offset.reset": "earliest", "client.id": self._client_id},
        )
        self._consumer.subscribe(self._topics, on_assign=self._assigned)

    def _assigned(self, consumer: Any, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            lane = self._topics.index(partition.topic)
            key = partition.topic, partition.partition
            self._assignments[key] = Assignment(*key, lane)


def load_by_name(
    processors: Iterable[Any], settings: Settings, device: str, options: Mapping[str, str] | None = None
) -> dict[str, list[Loaded]]:
    """Load processors, given by name, as classes or as instances. Several of one name are its versions."""
    found: dict[str, list[Loaded]] = {}
    for each in processors:
        if isinstance(each, str):
            versions = load_versions(each, settings.rollouts.get(each), device, settings.weights_dir, options)
        else:
            versions = [load(each() if isinstance(each, type) else each, device, settings.weights_dir, options)]
        found.setdefault(versions[0].processor.name, []).extend(versions)
    return found


def _never_too_large(job: InFlightJob) -> None:
    raise SluiceError("Kafka refused a result for its size, although the writer limits it.")
