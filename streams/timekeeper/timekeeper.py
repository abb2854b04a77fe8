"""The timekeeper: elects one leader among any number of timekeepers, which loops over the duties.

To add a duty: a class in a file of its own with `run_once()` (duty.py), and an entry in `DUTIES`.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from datetime import timedelta

from connectors.due_store import DueStore
from connectors.lease_store import LeaseStore
from schemas.errors import Unreachable
from streams import logs, wiring
from streams.health.cached_probe import faults
from streams.health.loop_health import LoopHealth, tracked
from streams.health.report import Health, evaluate
from streams.settings import Settings
from streams.timekeeper.cancels import Cancels
from streams.timekeeper.due import DueRuns
from streams.timekeeper.duty import Duty, DutyContext, MakeDuty
from streams.timekeeper.expired_leases import ExpiredLeases
from streams.timekeeper.prune import Prune
from streams.timekeeper.publisher import RecordPublisher
from streams.timekeeper.record_writer import RecordWriter
from streams.timekeeper.requests import RequestReader
from streams.timekeeper.unsent import Unsent

log = logs.get("timekeeper")

#: Seconds between two looks at the store. A retry is at most this late, or some seconds while a new leader takes over.
TURN_S = 0.2
#: Seconds between two attempts of a follower to become the leader.
FOLLOW_S = 1.0

DUTIES: Sequence[MakeDuty] = (DueRuns, Cancels, ExpiredLeases, Unsent)


class Timekeeper:
    """`keep`: how long ended runs are kept; None keeps them forever. Several may run: one leads, the others wait."""

    def __init__(self, settings: Settings, *, keep: timedelta | None = None) -> None:
        self._settings = settings
        self._keep = keep
        self._role: str | None = None
        self._loop_health = LoopHealth("timekeeper's loop", settings.health_patience_s)
        self._probes = (wiring.kafka_probe(settings), wiring.database_probe(settings))

    def health(self, *, ask: bool = True) -> Health:
        """Return the health: ready if it leads, or follows, because then another one leads."""
        role = self._role
        unknown = None if role else "whether it leads is not known yet"
        return evaluate(
            [self._loop_health],
            time.monotonic(),
            missing=[unknown, *(faults(self._probes) if ask else [])],
            details={"role": role},
        )

    def run(self, stop: threading.Event) -> None:
        """Run until `stop` is set, then give up leadership."""
        store = tracked(wiring.due_store(self._settings), self._loop_health, "Postgres")
        leases = wiring.lease_store(self._settings)
        reader = RequestReader(self._settings, store.keep_leading)
        try:
            self._loop(store, self.duties(store, leases, reader), stop)
        finally:
            store.close()
            leases.close()
            reader.close()

    def duties(self, store: DueStore, leases: LeaseStore, reader: RequestReader) -> list[Duty]:
        """Return a leader's duties in the order in which `run` repeats them."""
        settings, publisher = self._settings, RecordPublisher(self._settings, store.keep_leading)
        writer = RecordWriter(wiring.codec(settings), settings.topics, publisher, f"timekeeper@{socket.gethostname()}")
        context = DutyContext(settings, store, leases, reader, publisher, writer)
        duties = [make(context) for make in DUTIES]
        return duties if self._keep is None else [*duties, Prune(context, self._keep)]

    def _loop(self, store: DueStore, duties: Sequence[Duty], stop: threading.Event) -> None:
        led = False
        while not stop.is_set():
            self._loop_health.beat()
            leads, busy = _leads(store), False
            self._role = "leader" if leads else "follower" if self._loop_health.fault is None else None
            if leads and not led:
                log.info("leadership_acquired")
            led = leads
            for duty in duties:
                # Checked before each: the last duty may have lost the connection, and leadership with it.
                busy |= _leads(store) and _run_once(duty)
            if not busy:
                stop.wait(TURN_S if leads else FOLLOW_S)


def _leads(store: DueStore) -> bool:
    try:
        return store.lead()
    except Unreachable as error:
        log.warning("store_unavailable", reason=str(error))
        return False


def _run_once(duty: Duty) -> bool:
    """Run one duty; log its failure, so that the other duties still run."""
    try:
        return duty.run_once()
    except Unreachable as error:
        log.warning("dependency_unavailable", duty=type(duty).__name__, reason=str(error))
        return False
    except Exception as error:  # noqa: BLE001 - a bug in one duty must not stop the others for good
        # Only the type: Python's message may quote a patient's value.
        log.error("duty_failed", duty=type(duty).__name__, reason=type(error).__name__)
        return False
