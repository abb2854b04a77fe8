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

from streams import logs
from streams.health.loop_health import LoopHealth
from streams.health.loop_threads import LoopThreads
from streams.settings import Settings
from streams.worker.commands import CommandReader
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob
from streams.worker.protocol import Answer, ChildConfig
from streams.worker.session import EngineSession, check_custody
from streams.worker.supervision.supervisor import Supervisor

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

    def __init__(self, settings: Settings, config: ChildConfig, commands: CommandReader, threads: LoopThreads) -> None:
        self._settings = settings
        self._config = config
        self._commands = commands
        self._threads = threads
        self._in_flight = InFlightJobs()
        self._supervisor = Supervisor(config, self._in_flight, self._publish, self._deadline, threads)
        self._session: EngineSession | None = None  # once the child is ready
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
            "paused": self._commands.state.is_paused(self._config.processor),
            "in_flight": len(self._in_flight),
            **(NO_SESSION if session is None else session.status()),
            "child_restarts": supervisor.restarts,
            "ready": None if session is None else supervisor.ready,
            "child_rss": supervisor.resident,
            "recycled": supervisor.recycled,
            **{name: supervisor.about.get(name) for name in SHOWN},
            "ceilings": supervisor.ceilings,
        }

    def why_not_ready(self) -> str | None:
        """Return why this engine takes no jobs; None if it does."""
        if self._session is None or self._supervisor.ready is None:
            return f"the process of {self.processor} is starting"
        return self._session.why_not_ready()

    def run(self, stop: threading.Event) -> None:
        """Raises StartupError for a processor that can't start, SluiceError when log or lease store can't be used."""
        try:
            ready = self._supervisor.start(lambda: self._stopping(stop))
            if ready is not None:
                check_custody(self._config.processor, ready)
                self._session = session = EngineSession(
                    self._settings,
                    self._config,
                    ready,
                    self._in_flight,
                    self._supervisor,
                    self._commands,
                    self._threads,
                )
                self._serve(session, stop)
        finally:
            self._supervisor.stop(STOP_IDLE_CHILD_S)

    def _stopping(self, stop: threading.Event) -> bool:
        """Called ten times a second while the child starts, however long it loads its weights."""
        self.health.beat()
        return stop.is_set()

    def _serve(self, session: EngineSession, stop: threading.Event) -> None:
        drained = False
        try:
            session.start()
            log.info("worker_ready", processor=self._config.processor)
            while not stop.is_set():
                self._tick(session)
                session.take(WAIT_S)
            if not self._threads.dead:  # without one of its loops no drain can end
                drained = session.drain(time.monotonic() + self._settings.drain_s, lambda: self._tick(session))
            if not drained:
                left = len(self._in_flight)
                log.warning("drain_timed_out", left=left, next_step="They are run again by the next owner.")
        finally:
            try:
                if not drained:  # the child's jobs are given up next: none may run in two places
                    self._supervisor.stop(STOP_BUSY_CHILD_S)
            finally:
                session.close()
                self._supervisor.stop(STOP_IDLE_CHILD_S)
            log.info("worker_stopped", **self.status())

    def _tick(self, session: EngineSession) -> None:
        self.health.beat()
        session.tick(time.monotonic())

    # ── called by the supervisor, only while there are jobs, so there is a session ──

    def _publish(self, answer: Answer) -> None:
        assert self._session is not None
        self._session.publish(answer)

    def _deadline(self, job: InFlightJob) -> datetime | None:
        assert self._session is not None
        return self._session.deadline(job)
