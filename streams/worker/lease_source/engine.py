"""The main loop for one processor whose jobs are claimed by lease: claim, give to the child, look after it.

Five threads: this one owns the child and all decisions about it; the claimer waits for jobs at the store (`claimer.py`); the
heart keeps them ours (`heart.py`); the child's reader and the deliverer of reports are those of every worker. There is no
consumer group and there are no offsets. A batch is claimed when nothing is held: jobs here take minutes to hours, and none
shall wait behind another while a device elsewhere is idle.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from connectors.lease_store import Grant, LeaseStore
from streams import logs
from streams.health.loop_health import LoopHealth
from streams.log import kafka
from streams.settings import Settings
from streams.worker.cancellation import Cancellations, PauseAcknowledger
from streams.worker.commands import CommandReader
from streams.worker.custody import check_custody
from streams.worker.engine import SHOWN
from streams.worker.in_flight import InFlightJobs
from streams.worker.lease_source.claimer import ClaimedGrants, Claimer
from streams.worker.lease_source.fenced_publisher import FencedPublisher
from streams.worker.lease_source.held import HeldLease, HeldLeases, admitted
from streams.worker.lease_source.keeper import LeaseKeeper
from streams.worker.progress import ProgressPublisher
from streams.worker.protocol import ChildConfig
from streams.worker.supervision.supervisor import Supervisor

log = logs.get("worker")

WAIT_S = 0.1
STOP_S = 5.0


class LeaseEngine:
    """Runs one processor until told to stop. `open_store` makes a store for one thread; it is called twice."""

    def __init__(
        self, settings: Settings, config: ChildConfig, open_store: Callable[[], LeaseStore], control: CommandReader
    ) -> None:
        self._settings = settings
        self._config = config
        self._open_store = open_store
        self._ledger = InFlightJobs(1)
        self._grips = HeldLeases()
        self._supervisor = Supervisor(config, self._ledger)
        self._control = control
        self._desk = Cancellations(config.processor, control.orders, self._ledger, self._supervisor)
        self._lease_s = 0.0
        self._batch = 1
        self._restarts = 0
        self._received = 0
        self._heart: LeaseKeeper | None = None
        self._claimer: Claimer | None = None
        self.pulse = LoopHealth(f"loop of {config.processor}", settings.health_patience_s)

    @property
    def processor(self) -> str:
        return self._config.processor

    @property
    def could_start(self) -> bool:
        """Whether the processor has been loaded."""
        return self._supervisor.was_ready

    def status(self) -> dict[str, Any]:
        publisher = self._supervisor.publisher
        return {
            "processor": self._config.processor,
            "custody": "lease",
            "child": self._supervisor.pid,
            "ready": self._supervisor.ready,
            "store_fault": self._store_fault(),
            "paused": self._desk.paused,
            "in_flight": len(self._ledger),
            "received": self._received,
            "published": 0 if publisher is None else publisher.published,
            "dead_lettered": 0 if publisher is None else publisher.dead_lettered,
            "child_restarts": self._supervisor.restarts,
            "child_rss": self._supervisor.resident,
            "recycled": self._supervisor.recycled,
            **{name: self._supervisor.about.get(name) for name in SHOWN},
            "ceilings": self._supervisor.ceilings,
        }

    def _store_fault(self) -> str | None:
        """Why nothing can be claimed or kept just now."""
        return next((part.trouble for part in (self._claimer, self._heart) if part is not None and part.trouble), None)

    def run(self, stop: threading.Event) -> None:
        """Raises StartupError for a processor that can't start, SluiceError when the log can't be written."""
        try:
            ready = self._supervisor.start(lambda: self._stopping(stop))
            if ready is not None:
                check_custody(self._config.processor, ready)
                self._batch = int(ready["batch"])
                self._serve(ready, stop)
        finally:
            self._supervisor.stop(STOP_S)

    def _stopping(self, stop: threading.Event) -> bool:
        """Asked ten times a second while the child starts, however long its weights take."""
        self.pulse.beat()
        return stop.is_set()

    def _serve(self, ready: dict[str, Any], stop: threading.Event) -> None:
        self._open(float(ready["lease_s"]), int(ready["executions"]))
        try:
            while not stop.is_set():
                self._cycle()
            self._drain()
        finally:
            self._close()

    def _open(self, lease_s: float, executions: int) -> None:
        processor, worker_id, names = self._config.processor, self._config.worker_id, self._settings.topics
        self._lease_s = lease_s
        heart = self._heart = LeaseKeeper(self._open_store(), self._grips, worker_id, processor)
        self._publisher = FencedPublisher(
            self._grips,
            heart.beat_now,
            kafka.producer(self._settings),
            self._ledger,
            names,
            processor,
            worker_id,
            self._supervisor.refuse_for_size,
        )
        heart.answered = self._publisher.look_again
        self._supervisor.publisher = self._publisher
        self._progress = ProgressPublisher(self._settings, self._publisher, self._ledger, self._config)
        self._supervisor.deadline_of = self._progress.deadline
        store = self._open_store()
        claim = partial(_claim, store, processor, worker_id, lease_s, executions)
        self._claimer = Claimer(claim, store.close, processor)
        self._answers = PauseAcknowledger(self._settings, self._config, self._control.orders, self._publisher)
        self._publisher.start()
        self._control.wait_until_read()
        heart.start(lease_s)
        self._claimer.start()
        log.info("worker_ready", processor=processor, custody="lease", lease_s=lease_s)

    def _close(self) -> None:
        """Also after an error: what is left is another's to run."""
        assert self._claimer is not None
        assert self._heart is not None
        self._give_back_late(self._claimer.stop(STOP_S))
        self._supervisor.stop(WAIT_S)  # before its jobs are given back: nothing runs in two places
        self._give_back(started=True)
        self._publisher.stop(STOP_S)
        self._heart.stop(STOP_S)
        log.info("worker_stopped", **self.status())

    # ── the loop ──

    def _cycle(self) -> None:
        assert self._claimer is not None
        self._look_after(time.monotonic())
        if self._supervisor.backlog:
            self._supervisor.pump(WAIT_S)
            return
        self._answers.answer()
        busy = len(self._ledger) > 0
        # The store grants nothing of a processor at rest; asking for nothing makes that so from our answer on.
        self._claimer.ask(0 if busy or self._desk.paused else self._batch)
        if busy:
            self._ledger.wait_until_empty(WAIT_S)
        for claimed in self._claimer.take(0 if busy else WAIT_S):
            self._admit(claimed)

    def _admit(self, claimed: ClaimedGrants) -> None:
        assert self._heart is not None
        until, done = claimed.asked_at + self._lease_s, self._heart.finished
        made = [HeldLease(grant, until, self._settings.topics, done) for grant in claimed.grants]
        held = self._ledger.admit(((grip.request, grip.owned) for grip in made), time.time_ns() // 1000)
        admitted(self._grips, made, held)
        self._received += len(held)
        self._supervisor.send(held)

    def _look_after(self, now: float) -> None:
        assert self._claimer is not None
        assert self._heart is not None
        self.pulse.at = now
        for note in self._supervisor.tick(now):
            self._progress.write(note)
        if self._supervisor.restarts != self._restarts:  # the next worker is to know what this one has lost
            self._restarts = self._supervisor.restarts
            self._heart.beat_now()
        self._desk.look()
        self._stop_jobs("lease_lost", self._heart.lost)
        self._stop_jobs("cancelled", self._heart.cancelled)
        for fault in (self._publisher.fault, self._heart.fault, self._claimer.fault):
            if fault is not None:
                raise fault

    def _stop_jobs(self, why: str, grips: Any) -> None:
        """The child is told, and killed if it does not listen. Of a lost job nothing is published (`gate.py`)."""
        while grips:
            grip: HeldLease = grips.popleft()
            if grip.held is not None and self._ledger.held(grip.held.slot) is not None:
                log.info(why, job_id=grip.grant.job_id, run=grip.grant.run, fence=grip.grant.fence)
                self._supervisor.cancel([grip.held.slot])

    # ── stopping ──

    def _drain(self) -> None:
        """Finish what runs; what only waits is given back at once, what is not done in time when its process has ended."""
        assert self._claimer is not None
        until = time.monotonic() + self._settings.drain_s
        log.info("draining", held=len(self._ledger))
        self._give_back(started=False)
        self._give_back_late(self._claimer.stop(STOP_S))
        while len(self._ledger) and time.monotonic() < until:
            self._look_after(time.monotonic())
            self._supervisor.pump(0)
            self._ledger.wait_until_empty(WAIT_S)

    def _give_back(self, *, started: bool) -> None:
        """Those without an answer: the ones that wait, or, with `started`, all of them."""
        for grip in self._grips.all():
            held = grip.held
            if held is None or (held.started and not started):
                continue
            if slots := self._ledger.drop([grip.owned]):
                self._supervisor.drop(slots)
                self._grips.let_go(grip)
                if not grip.lost:
                    self._return(grip.grant, started=held.started)

    def _give_back_late(self, claimed: Iterable[ClaimedGrants]) -> None:
        for one in claimed:
            for grant in one.grants:
                self._return(grant, started=False)

    def _return(self, grant: Grant, *, started: bool) -> None:
        assert self._heart is not None
        log.info("job_released", job_id=grant.job_id, run=grant.run, started=started)
        self._heart.give_back(grant, started=started)


def _claim(
    store: LeaseStore, processor: str, worker_id: str, lease_s: float, executions: int, count: int, wait_s: float
) -> list[Grant]:
    return store.claim(processor, worker_id, count, lease_s, executions=executions, wait_s=wait_s)
