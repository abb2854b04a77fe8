"""The parent's main loop for one processor: take jobs, send them to the child, look after both. It steers by Kafka headers and
decodes nothing.

Three threads: this one takes jobs and writes frames; the child's reader publishes answers (`supervision/messages.py`); the
publisher's serves delivery reports. Where jobs come from is the source's matter (`job_source.py`).
"""

from __future__ import annotations

import threading
import time
from datetime import datetime
from typing import Any

from schemas.errors import StartupError
from streams import logs
from streams.health.loop_health import LoopHealth
from streams.health.loop_threads import LoopThreads
from streams.settings import Settings
from streams.worker.circuit import MOST_ALIKE, CircuitState, WorkerCircuit
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob
from streams.worker.protocol import Answer, ChildConfig
from streams.worker.self_test import PASSED, SelfTest
from streams.worker.session import DRAIN_POLL_S, EngineSession, check_custody
from streams.worker.supervision.limits import ProgressUpdate
from streams.worker.supervision.supervisor import Supervisor
from streams.worker.transport import Transport

log = logs.get("worker")

#: The longest wait in one turn of the loop.
WAIT_S = 0.1
#: How long an idle child may take to end, and one that is not.
STOP_IDLE_CHILD_S = 5.0
STOP_BUSY_CHILD_S = 0.1

#: Facts from the child's READY message that the status shows; None until it is ready.
SHOWN = ("version", "versions", "device", "device_reason", "device_fallback")
#: Counters until there is a session.
NO_SESSION = {"partitions": 0, "received": 0, "published": 0, "dead_lettered": 0, "joined_s": None}


class Engine:
    """Runs one processor until it is stopped."""

    def __init__(self, settings: Settings, config: ChildConfig, transport: Transport, threads: LoopThreads) -> None:
        self._settings = settings
        self._config = config
        self._transport = transport
        self._threads = threads
        self._in_flight = InFlightJobs()
        self._supervisor = Supervisor(config, self._in_flight, self._publish, self._report, self._deadline, threads)
        self._circuit = WorkerCircuit(config.processor, self._in_flight)
        self._test = SelfTest(self._in_flight, self._supervisor, settings.load_timeout_s)
        self._session: EngineSession | None = None  # while it takes jobs
        self.health = LoopHealth(f"loop of {config.processor}", settings.health_patience_s)

    @property
    def processor(self) -> str:
        return self._config.processor

    @property
    def could_start(self) -> bool:
        """True once the processor has been loaded."""
        return self._supervisor.was_ready

    def status(self) -> dict[str, Any]:
        supervisor, session = self._supervisor, self._session
        return {
            "processor": self._config.processor,
            "child": supervisor.pid,
            "paused": self._transport.commands.state.is_paused(self._config.processor),
            "in_flight": len(self._in_flight),
            **(NO_SESSION if session is None else session.status()),
            "child_restarts": supervisor.restarts,
            "ready": None if session is None else supervisor.ready,
            "child_rss": supervisor.resident,
            "recycled": supervisor.recycled,
            **{name: supervisor.about.get(name) for name in SHOWN},
            "ceilings": supervisor.ceilings,
            "circuit": self._circuit.status(),
        }

    def why_not_ready(self) -> str | None:
        """Return why this engine takes no jobs; None if it does."""
        if self._circuit.state in (CircuitState.OPEN, CircuitState.PROBING):
            return f"{self.processor} may be broken here: {self._circuit.reason}"
        if self._session is None or self._supervisor.ready is None:
            return f"the process of {self.processor} is starting"
        return self._session.why_not_ready()

    def run(self, stop: threading.Event) -> None:
        """Raises StartupError for a processor that can't start, SluiceError when log or lease store can't be used."""
        try:
            ready = self._supervisor.start(lambda: self._stopping(stop))
            if ready is not None:
                check_custody(self._settings, self._config.processor, ready)
            while ready is not None:
                self._serve(self._new_session(ready), stop)
                ready = self._recover(stop) if self._circuit.is_open else None
        finally:
            self._supervisor.stop(STOP_IDLE_CHILD_S)

    def _new_session(self, ready: dict[str, Any]) -> EngineSession:
        self._session = EngineSession(
            self._settings,
            self._config,
            ready,
            self._in_flight,
            self._supervisor,
            self._transport,
            self._circuit,
        )
        return self._session

    def _stopping(self, stop: threading.Event) -> bool:
        """Called ten times a second while the child starts, however long it loads its weights."""
        self.health.beat()
        return stop.is_set()

    def _serve(self, session: EngineSession, stop: threading.Event) -> None:
        drained = False
        try:
            session.start()
            log.info("worker_ready", processor=self._config.processor)
            while not stop.is_set() and not self._circuit.is_open:
                self._tick(session)
                session.take(WAIT_S)
            self._test.stop()
            has_child = self._supervisor.ready is not None or not self._circuit.is_open
            if has_child and not self._threads.dead:  # without one of its loops no drain can end
                drained = session.drain(time.monotonic() + self._settings.drain_s, lambda: self._tick(session))
            if has_child and not drained:
                left = len(self._in_flight)
                log.warning("drain_timed_out", left=left, next_step="They are run again by the next owner.")
        finally:
            try:
                if not drained:  # the child's jobs are given up next: none may run in two places
                    self._supervisor.stop(STOP_BUSY_CHILD_S)
            finally:
                session.close()
                self._supervisor.stop(STOP_IDLE_CHILD_S)
            if stop.is_set():
                log.info("worker_stopped", **self.status())

    def _tick(self, session: EngineSession) -> None:
        self.health.beat()
        now = time.monotonic()
        try:
            session.tick(now)
        except StartupError as error:  # once it could start, so other workers may be able to
            self._circuit.open(f"its process can't start again: {error.message}")
        if self._test.running:
            self._finish_test(now)
        elif self._circuit.is_testing:
            self._test_or_leave()

    # ── doubts about this worker ──

    def _test_or_leave(self) -> None:
        if self._circuit.good is not None or self._supervisor.about.get("warm_up"):
            self._test.start(self._circuit.good or b"")
        else:
            self._circuit.open(f"{self._circuit.reason}, and there is nothing to test it with")

    def _finish_test(self, now: float) -> None:
        failure = self._test.failure(now)
        if failure is not None:
            self._test.stop()
            self._circuit.tested(None if failure == PASSED else failure)

    def _recover(self, stop: threading.Event) -> dict[str, Any] | None:
        """Stay out of the group until the processor works in a new process; return its READY message, None when stopped."""
        self._in_flight.clear()
        self._session = None
        while not self._pause(stop):
            try:
                ready = self._supervisor.start(lambda: self._stopping(stop))
                if ready is not None and self._works(ready, stop):
                    return ready
            except StartupError as error:
                self._circuit.open(f"its process can't start again: {error.message}")
            self._test.stop()
            self._supervisor.stop(STOP_BUSY_CHILD_S)
            self._in_flight.clear()
        return None

    def _pause(self, stop: threading.Event) -> bool:
        """Wait before the next test. Return True if stopped meanwhile."""
        until = time.monotonic() + self._circuit.next_pause_s()
        while time.monotonic() < until and not stop.wait(WAIT_S):
            self.health.beat()
        return stop.is_set()

    def _works(self, ready: dict[str, Any], stop: threading.Event) -> bool:
        """Return True if the new process, which has warmed up already, passes the self-test, or if only jobs can tell."""
        if self._circuit.good is not None:
            self._test.start(self._circuit.good)
            while self._test.running and not stop.is_set():
                self.health.beat()
                self._supervisor.tick(time.monotonic())
                self._finish_test(time.monotonic())
                self._in_flight.wait_until_empty(DRAIN_POLL_S)
            return not stop.is_set() and not self._circuit.is_open
        if ready.get("warm_up"):
            self._circuit.tested(None)
        else:
            self._circuit.probe(1 if self._transport.has_colleagues(self.processor) else MOST_ALIKE)
        return True

    # ── called by the supervisor ──

    def _publish(self, answer: Answer) -> None:
        if not self._test.answered(answer) and self._session is not None:
            self._session.publish(answer)

    def _report(self, update: ProgressUpdate) -> None:
        if self._session is not None:
            self._session.report(update)

    def _deadline(self, job: InFlightJob) -> datetime | None:
        return None if self._session is None else self._session.deadline(job)
