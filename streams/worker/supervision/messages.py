"""Handles the child's messages: which jobs run, their answers and progress, and facts about the child itself."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from schemas.errors import ErrorCode, StartupError
from streams import logs
from streams.worker import protocol
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob
from streams.worker.protocol import Answer, MessageKind
from streams.worker.supervision.limits import ProgressUpdate, RunningJobs
from streams.worker.supervision.process import ChildProcess
from streams.worker.supervision.recycling import RecyclePolicy
from streams.worker.supervision.startup import StartupTracker
from streams.worker.supervision.texts import GeneratedTexts
from streams.worker.text_frame import unpack_text

log = logs.get("worker")


class DueActions(NamedTuple):
    """Actions that are due for running jobs. `long`: slots that have run for a while, each once."""

    overdue: dict[int, ErrorCode]
    updates: list[ProgressUpdate]
    long: list[int]


class ChildMessages:
    """Serves all children, one after another. The reader thread calls `handle` and `ended`, the engine's thread the rest."""

    def __init__(
        self,
        in_flight: InFlightJobs,
        publish: Callable[[Answer], None],
        report: Callable[[ProgressUpdate], None],
        startup: StartupTracker,
        recycle_policy: RecyclePolicy,
        default_limit_s: float,
    ) -> None:
        self._in_flight = in_flight
        self._publish = publish
        self._report = report
        self._startup = startup
        self._recycle_policy = recycle_policy
        self._running = RunningJobs(default_limit_s)
        self._lock = threading.Lock()  # guards _running
        self._texts = GeneratedTexts()
        #: Guards _texts, also while what was taken from it is reported: text leaves in the order in which it came.
        self._texts_lock = threading.Lock()
        self._ended = threading.Event()
        self._drained_at: float | None = None
        self._reported = threading.Event()  # READY, BROKEN or the end
        self.broken: StartupError | None = None
        #: The slots of the jobs under one of which the device failed; the child is to be replaced. None: it works.
        self.device_suspects: frozenset[int] | None = None
        #: The slots of the jobs that a helper process had when it died; the child is to be replaced. None: all are alive.
        self.crash_suspects: frozenset[int] | None = None
        #: The READY message while the child takes jobs, the newest one of any child, and by bucket, what it learned that the
        #: device can hold.
        self.ready: dict[str, Any] | None = None
        self.about: dict[str, Any] = {}
        self.ceilings: dict[str, dict[str, Any]] = {}
        self.answered = 0  # jobs of this child

    # ── the reader thread ──

    def handle(self, child: ChildProcess, kind: MessageKind, body: bytes) -> None:
        if kind is MessageKind.STARTED:
            self._started(body)
        elif kind is MessageKind.ANSWERS:
            self._answers(body)
        elif kind is MessageKind.PROGRESS:
            fields = json.loads(body)
            with self._lock:
                self._running.progress(fields["slot"], fields["stage"], fields["percent"], fields["message"])
        elif kind is MessageKind.TEXT:
            slot, text, restart = unpack_text(body)
            with self._texts_lock:
                for update in self._texts.add(slot, text, time.monotonic(), restart=restart):
                    self._report(update)
        elif kind is MessageKind.PREPARED:
            with self._lock:
                self._running.paused(protocol.unpack_slots(body))
        elif kind is MessageKind.DISCARDED:
            self._in_flight.release(protocol.unpack_slots(body))
        elif kind is MessageKind.DRAINED:
            self.ready = None  # it takes no more jobs
            self._drained_at = time.monotonic()
        elif kind is MessageKind.BATCH_LIMIT:
            fields = json.loads(body)
            self.ceilings = {**self.ceilings, fields.pop("bucket"): fields}
        elif kind is MessageKind.DEVICE_LOST:
            fields = json.loads(body)
            log.error("device_lost", child=child.pid, reason=fields["reason"], suspects=len(fields["slots"]))
            self.device_suspects = frozenset(fields["slots"])
        elif kind is MessageKind.HELPER_LOST:
            fields = json.loads(body)
            log.error("helper_lost", child=child.pid, reason=fields["reason"], suspects=len(fields["slots"]))
            self.crash_suspects = frozenset(fields["slots"])
        elif kind is MessageKind.READY:
            self._ready(child, json.loads(body))
        elif kind is MessageKind.BROKEN:
            fields = json.loads(body)
            self.broken = StartupError(fields["message"], next_step=fields["next_step"])

    def ended(self, child: ChildProcess) -> None:
        self.ready = None
        self._ended.set()
        self._reported.set()

    def _started(self, body: bytes) -> None:
        slots, hard_ms = protocol.unpack_started(body)
        self._in_flight.started(slots)
        with self._lock:
            self._running.started(slots, hard_ms, time.monotonic())

    def _answers(self, body: bytes) -> None:
        answers = list(protocol.unpack_answers(body))
        if self._texts:
            with self._texts_lock:
                for update in self._texts.end([answer.slot for answer in answers]):
                    self._report(update)
        with self._lock:
            self._running.ended([answer.slot for answer in answers])
        self.answered += len(answers)
        for answer in answers:
            self._publish(answer)

    def _ready(self, child: ChildProcess, ready: dict[str, Any]) -> None:
        self._startup.ready()
        self.answered = 0
        child.helpers = tuple(ready.get("helpers", ()))
        self._recycle_policy.start(ready, child.resident)
        self.ready = self.about = ready
        self.ceilings = {}
        self._reported.set()

    # ── the engine's thread: the child ──

    def begin(self) -> None:
        """Expect messages of another child."""
        self._drained_at = None
        self.broken = self.device_suspects = self.crash_suspects = None
        self._ended.clear()
        self._reported.clear()

    def wait_for_report(self, timeout: float) -> bool:
        """Wait until the child is ready, broken or gone; return False at the timeout."""
        return self._reported.wait(timeout)

    @property
    def drained_at(self) -> float | None:
        """When (monotonic) the child said that it has answered everything and ends; None before."""
        return self._drained_at

    @property
    def is_lost(self) -> bool:
        """True if the child's device fails, or a helper process of it has died: the child is to be replaced."""
        return self.device_suspects is not None or self.crash_suspects is not None

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    # ── the engine's thread: the jobs that run in it ──

    def report_text(self, now: float) -> None:
        """Report the text that has waited long enough."""
        if self._texts:
            with self._texts_lock:
                for update in self._texts.due(now):
                    self._report(update)

    def due(self, now: float) -> DueActions:
        with self._lock:
            return DueActions(self._running.overdue(now), self._running.updates(now), self._running.long(now))

    def cancelled(self, slots: Iterable[int], until: float | None) -> None:
        """Mark jobs as cancelled; see RunningJobs."""
        with self._lock:
            self._running.cancelled(slots, until)

    def set_deadlines(
        self, slots: Iterable[int], now: float, grace_s: float, deadline_of: Callable[[InFlightJob], datetime | None]
    ) -> None:
        """Set the deadlines of jobs that run for a while; short jobs are done before it matters."""
        for slot in slots:
            job = self._in_flight.get(slot)
            if job is None or job.rejected:
                continue  # the child only encodes its failure
            deadline = deadline_of(job)
            if deadline is not None:
                left = max(0.0, (deadline - datetime.now(UTC)).total_seconds())
                with self._lock:
                    self._running.set_deadline(slot, now + left + grace_s)

    def disowned(self, slots: Sequence[int]) -> None:
        with self._lock:
            self._running.disowned(slots)
        with self._texts_lock:
            self._texts.forget(slots)

    def forget(self) -> set[int]:
        """The child is gone: forget its jobs; return the slots of the cancelled ones."""
        with self._texts_lock:
            self._texts.clear()
        with self._lock:
            return self._running.clear()
