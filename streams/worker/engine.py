"""The parent's main loop for one processor: poll, hand to the child, commit. It steers by headers and decodes nothing.

Three threads: this one polls and writes frames; the child's reader publishes answers (`supervisor.py`); the deliverer serves
delivery reports (`publish.py`). None waits for another but here, at the in-flight cap.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from processors.policy import LaneWeights, Order
from streams import logs
from streams.health.loop_health import LoopHealth
from streams.log import kafka
from streams.settings import Settings
from streams.worker.cancellation import Cancellations, PauseAcknowledger
from streams.worker.commands import CommandReader
from streams.worker.custody import check_custody
from streams.worker.in_flight import Assignment, InFlightJobs
from streams.worker.kafka_source.assignment import CommitPolicy
from streams.worker.kafka_source.consumers import Arrival, RequestConsumers
from streams.worker.kafka_source.quarantine import Quarantine
from streams.worker.ordering import OrderedJobs
from streams.worker.progress import ProgressPublisher
from streams.worker.protocol import ChildConfig
from streams.worker.publisher import Publisher
from streams.worker.supervision.supervisor import Supervisor

log = logs.get("worker")

WAIT_S = 0.1
#: How long the loop waits for a bulk place before it looks at the live lane again.
LOOK_AT_LIVE_S = 0.005
PAUSED_LOOK_S = 0.05
DRAIN_LOOK_S = 0.02
STOP_CHILD_S = 5.0

#: What a child says of itself that operators are shown; None until it is ready.
SHOWN = ("version", "versions", "device", "device_reason", "device_fallback")


class Engine:
    """Runs one processor until told to stop."""

    def __init__(self, settings: Settings, config: ChildConfig, policy: CommitPolicy, control: CommandReader) -> None:
        self._settings = settings
        self._config = config
        self._policy = policy
        self._control = control
        self._order = Order.NONE
        self._turns: OrderedJobs | None = None
        self._weights = LaneWeights()
        self._stop_child_s = STOP_CHILD_S
        self._ledger = InFlightJobs(1)
        self._supervisor = Supervisor(config, self._ledger)
        self._handover = Quarantine(self._ledger, self._supervisor.send)
        self._lanes: RequestConsumers | None = None
        self._desk = Cancellations(config.processor, control.orders, self._ledger, self._supervisor)
        self._joined_at: float | None = None
        self.pulse = LoopHealth(f"loop of {config.processor}", settings.health_patience_s)

    @property
    def processor(self) -> str:
        return self._config.processor

    @property
    def could_start(self) -> bool:
        """Whether the processor has been loaded."""
        return self._supervisor.was_ready

    def status(self) -> dict[str, Any]:
        publisher, lanes = self._supervisor.publisher, () if self._lanes is None else self._lanes.both
        return {
            "processor": self._config.processor,
            "child": self._supervisor.pid,
            "paused": self._desk.paused,
            "order": self._order.value,
            "parked": 0 if self._turns is None else self._turns.parked,
            "partitions": sum(len(lane.partitions) for lane in lanes),
            "in_flight": len(self._ledger),
            "received": sum(lane.received for lane in lanes),
            "lanes": {
                lane.name: {"partitions": len(lane.partitions), "in_flight": held, "received": lane.received}
                for lane, held in zip(lanes, self._ledger.by_lane, strict=False)
            },
            "published": 0 if publisher is None else publisher.published,
            "dead_lettered": 0 if publisher is None else publisher.dead_lettered,
            "commits": sum(lane.partitions.commits for lane in lanes),
            "child_restarts": self._supervisor.restarts,
            "ready": self._supervisor.ready,
            "joined_s": None if self._joined_at is None else time.monotonic() - self._joined_at,
            "child_rss": self._supervisor.resident,
            "recycled": self._supervisor.recycled,
            **{name: self._supervisor.about.get(name) for name in SHOWN},
            "ceilings": self._supervisor.ceilings,
        }

    def run(self, stop: threading.Event) -> None:
        """Raises StartupError for a processor that can't start, SluiceError when the log can't be read or written."""
        try:
            ready = self._supervisor.start(lambda: self._stopping(stop))
            if ready is not None:
                check_custody(self._config.processor, ready)
                self._ledger.resize(int(ready["in_flight"]))
                self._handover.limit(int(ready["executions"]))
                self._weights = LaneWeights(*ready["lanes"])
                self._order = Order(ready["order"])
                self._serve(stop)
        finally:
            self._supervisor.stop(self._stop_child_s)

    def _stopping(self, stop: threading.Event) -> bool:
        """Asked ten times a second while the child starts, however long its weights take."""
        self.pulse.beat()
        return stop.is_set()

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
        self._progress = ProgressPublisher(self._settings, self._publisher, self._ledger, self._config)
        self._supervisor.deadline_of = self._progress.deadline
        self._answers = PauseAcknowledger(self._settings, self._config, self._control.orders, self._publisher)
        if self._order is not Order.NONE:
            self._turns = self._desk.turns = OrderedJobs(self._order, self._ledger, self._progress.write)
            self._publisher.keep = self._turns.keep
        self._publisher.start()
        self._control.wait_until_read()
        self._lanes = RequestConsumers.join(
            self._settings, self._config, self._ledger, self._handover, self._policy, self._weights
        )
        for lane in self._lanes.both:
            lane.partitions.on_dropped = self._given_back
        self._joined_at = time.monotonic()
        log.info("worker_ready", processor=processor)

    def _close_log(self) -> None:
        assert self._lanes is not None
        self._lanes.close()  # gives the partitions back: settles and commits them
        self._publisher.stop(5.0)
        log.info("worker_stopped", **self.status())

    def _given_back(self, given: list[Assignment], slots: list[int]) -> None:
        self._supervisor.drop(slots)
        if self._turns is not None:
            self._turns.forget(given)

    # ── the loop ──

    def _cycle(self) -> None:
        assert self._lanes is not None
        self._look_after(time.monotonic())
        if self._turns is not None:
            self._give_due(self._turns)
        if self._desk.paused:
            self._lanes.hold_back(PAUSED_LOOK_S)
            self._answers.answer()
            return
        self._answers.answer()
        if self._supervisor.backlog:
            self._supervisor.pump(WAIT_S)
            self._admit(self._lanes.stay_in_group())
            return
        withheld = self._handover.step(WAIT_S)
        room = self._ledger.wait_for_room(0.0 if withheld else WAIT_S)
        if room.total == 0:
            self._admit(self._lanes.stay_in_group())
            return
        # What waits here for a place or for its turn must not wait for the next record of the live lane.
        waiting = room.bulk == 0 or (self._turns is not None and self._turns.parked > 0)
        arrivals = self._lanes.poll(room, wait=not waiting and not withheld)
        if arrivals:
            self._admit(arrivals)
        elif waiting:
            self._ledger.wait_for_news(LOOK_AT_LIVE_S, bulk=room.bulk == 0)

    def _look_after(self, now: float) -> None:
        assert self._lanes is not None
        self.pulse.at = now
        for note in self._supervisor.tick(now):
            self._progress.write(note)
        self._desk.look()
        self._lanes.commit_if_due(now)
        if self._publisher.fault is not None:
            raise self._publisher.fault

    def _admit(self, arrivals: list[Arrival]) -> None:
        if arrivals:
            assert self._lanes is not None
            admitted = self._ledger.admit(arrivals, time.time_ns() // 1000)
            called_off = self._desk.call_off(admitted)
            self._handover.give(admitted if self._turns is None else self._turns.admit(admitted))
            if called_off:  # so that they are answered while the device works on
                self._supervisor.cancel(called_off)
            self._lanes.commit_if_due(time.monotonic())

    def _give_due(self, turns: OrderedJobs) -> None:
        """Ordered jobs whose time has come."""
        due = turns.due(time.monotonic())
        if due:
            self._desk.call_off(due)
            self._handover.give(due)

    # ── stopping ──

    def _drain(self) -> None:
        """Finish what has begun, within the bound; what has not is given back at once, for another worker to run.

        A job whose process died is tried here, too: elsewhere nobody would know that it is a suspect.
        """
        assert self._lanes is not None
        until = time.monotonic() + self._settings.drain_s
        log.info("draining", held=len(self._ledger))
        restarts = -1
        while len(self._ledger):
            if time.monotonic() >= until:
                self._stop_child_s = 0.0
                log.warning(
                    "drain_timed_out", left=len(self._ledger), next_step="They are run again by the next owner."
                )
                return
            self._lanes.hold_back(0.0)  # rebalances go on
            self._look_after(time.monotonic())
            if restarts != self._supervisor.restarts:  # a new child was given everything again
                restarts = self._supervisor.restarts
                jobs = self._ledger.unanswered()
                self._supervisor.give_back([held.slot for held in jobs if not held.started and not held.crashes])
            self._ledger.give_back([held.slot for held in self._ledger.set_aside()])
            self._supervisor.pump(0)
            self._ledger.wait_until_empty(DRAIN_LOOK_S)
