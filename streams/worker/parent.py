"""The parent's main loop for one processor: poll, hand to the child, commit. It steers by headers and decodes nothing.

Three threads: this one polls and writes frames; the child's reader publishes answers (`supervisor.py`); the deliverer serves
delivery reports (`publish.py`). None waits for another but here, at the in-flight cap.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from processors.policy import Lanes as Weights
from streams import logs
from streams.health.pulse import Pulse
from streams.log import kafka
from streams.settings import Settings
from streams.worker.config import ChildConfig
from streams.worker.custody import check_custody
from streams.worker.handover import Handover
from streams.worker.lanes import Arrival, Lanes
from streams.worker.ledger import Ledger, Owned
from streams.worker.partitions import CommitPolicy
from streams.worker.progress import ProgressWriter
from streams.worker.publish import Publisher
from streams.worker.supervisor import Supervisor

log = logs.get("worker")

WAIT_S = 0.1
#: How long the loop waits for a bulk place before it looks at the live lane again.
LOOK_AT_LIVE_S = 0.005

#: What a child says of itself that operators are shown; None until it is ready.
SHOWN = ("version", "versions", "device", "device_reason", "device_fallback")


class Engine:
    """Runs one processor until told to stop."""

    def __init__(self, settings: Settings, config: ChildConfig, policy: CommitPolicy) -> None:
        self._settings = settings
        self._config = config
        self._policy = policy
        self._weights = Weights()
        self._ledger = Ledger(1)
        self._supervisor = Supervisor(config, self._ledger)
        self._handover = Handover(self._ledger, self._supervisor.send)
        self._lanes: Lanes | None = None
        self._joined_at: float | None = None
        self.pulse = Pulse(f"loop of {config.processor}", settings.health_patience_s)

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
                self._weights = Weights(*ready["lanes"])
                self._serve(stop)
        finally:
            self._supervisor.stop(5.0)

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
        self._progress = ProgressWriter(self._settings, self._publisher, self._ledger, self._config)
        self._supervisor.deadline_of = self._progress.deadline
        self._publisher.start()
        self._lanes = Lanes.join(
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

    def _given_back(self, given: list[Owned], slots: list[int]) -> None:
        self._supervisor.drop(slots)

    # ── the loop ──

    def _cycle(self) -> None:
        assert self._lanes is not None
        self._look_after(time.monotonic())
        if self._supervisor.backlog:
            self._supervisor.pump(WAIT_S)
            self._admit(self._lanes.stay_in_group())
            return
        waiting = self._handover.step(WAIT_S)
        room = self._ledger.wait_for_room(0.0 if waiting else WAIT_S)
        if room.total == 0:
            self._admit(self._lanes.stay_in_group())
            return
        arrivals = self._lanes.poll(room, wait=room.bulk > 0 and not waiting)
        if arrivals:
            self._admit(arrivals)
        elif room.bulk == 0:  # the live lane is idle, and the bulk one waits for a place
            self._ledger.wait_for_news(LOOK_AT_LIVE_S, bulk=True)

    def _look_after(self, now: float) -> None:
        assert self._lanes is not None
        self.pulse.at = now
        for note in self._supervisor.tick(now):
            self._progress.write(note)
        self._lanes.commit_if_due(now)
        if self._publisher.fault is not None:
            raise self._publisher.fault

    def _admit(self, arrivals: list[Arrival]) -> None:
        if arrivals:
            assert self._lanes is not None
            self._handover.give(self._ledger.admit(arrivals, time.time_ns() // 1000))
            self._lanes.commit_if_due(time.monotonic())

    # ── stopping ──

    def _drain(self) -> None:
        """Finish what is held; what is not done in time is run again by whoever owns its partition next."""
        assert self._lanes is not None
        until = time.monotonic() + self._settings.drain_s
        log.info("draining", held=len(self._ledger))
        while len(self._ledger) and time.monotonic() < until:
            self._look_after(time.monotonic())
            self._supervisor.pump(0)
            self._handover.step(0.0)
            self._lanes.hold_back(0.0)  # rebalances go on; a record that slips through is not admitted, so not lost
            self._ledger.wait_until_empty(WAIT_S)
