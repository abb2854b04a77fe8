"""A session of the echo processor on the memory log, with a child that the test plays."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from schemas.states import Disposition
from streams.health.loop_threads import LoopThreads
from streams.log.topic_ids import topic_ids
from streams.settings import Settings
from streams.worker.circuit import WorkerCircuit
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob
from streams.worker.kafka_transport import KafkaTransport
from streams.worker.protocol import Answer, ChildConfig
from streams.worker.session import EngineSession

THREADS = LoopThreads("worker", None)
READY = {"in_flight": 10, "executions": 3, "lanes": [4, 1], "order": "none", "custody": "offset"}


class PlayedChild:
    """Stands in for the supervisor: keeps what it is sent, and has begun nothing that it is asked to release."""

    restarts = 0
    backlog = False

    def __init__(self, in_flight: InFlightJobs) -> None:
        self._in_flight = in_flight
        self.sent: list[InFlightJob] = []
        self.cancelled: list[int] = []

    def send(self, jobs: Iterable[InFlightJob]) -> None:
        self.sent += jobs

    def cancel(self, slots: list[int]) -> None:
        self.cancelled += slots

    def release(self, slots: list[int]) -> None:
        self._in_flight.release(slots)

    def disown(self, slots: list[int]) -> None:
        pass

    def pump(self, timeout: float) -> None:
        pass

    def tick(self, now: float) -> list[Any]:
        return []

    def refuse_for_size(self, job: InFlightJob) -> None:
        pass


class RunningSession:
    """A session of the echo processor that has joined its group."""

    def __init__(self, settings: Settings, **ready: Any) -> None:
        self.settings = settings
        self.in_flight = InFlightJobs()
        self.child = PlayedChild(self.in_flight)
        child: Any = self.child
        transport = KafkaTransport(settings, THREADS)
        self.commands = transport.commands
        self.commands.start()
        names = settings.topics
        topics = [names.requests("echo", lane) for lane in ("live", "bulk")]
        lanes = [[name, found] for name, found in topic_ids(settings, topics).items()]
        config = ChildConfig("echo", "w1", "cpu", str(settings.home), {}, lanes, {})
        self.session = EngineSession(
            settings,
            config,
            READY | ready,
            self.in_flight,
            child,
            transport,
            WorkerCircuit("echo", self.in_flight),
        )
        self.session.start()

    def turn(self) -> None:
        self.session.tick(time.monotonic())
        self.session.take(0.05)

    def until_sent(self, count: int) -> list[InFlightJob]:
        while len(self.child.sent) < count:
            self.turn()
        return self.child.sent

    def answer(
        self, job: InFlightJob, disposition: Disposition = Disposition.SUCCEEDED, value: bytes = b"result"
    ) -> None:
        """Answer as the child does. Without a value a retry is a job that is postponed."""
        self.session.publish(Answer(job.slot, 1, disposition, "job", 0, 1, value, retry_in_ms=0))

    def close(self) -> None:
        self.session.close()
        self.commands.stop()
