"""One leader among any number of timekeepers, and its rounds through the duties: whatever waits for a time is done by them.

A further duty is a class in a file of its own with `turn()` (desk.py), and a line in `DUTIES`.
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
from streams.timekeeper.leases import ExpiredLeases
from streams.timekeeper.outbox import Outbox
from streams.timekeeper.prune import Prune
from streams.timekeeper.record_writer import RecordWriter
from streams.timekeeper.requests import RequestReader
from streams.timekeeper.unsent import Unsent

log = logs.get("timekeeper")

#: How often the store is asked. A retry is at most this late.
TURN_S = 0.2
#: How often somebody who is not the leader asks whether there is one.
FOLLOW_S = 1.0

DUTIES: Sequence[MakeDuty] = (DueRuns, Cancels, ExpiredLeases, Unsent)


class Timekeeper:
    """`keep`: how long decided runs are remembered; None for ever. Several may run: one leads, the others wait."""

    def __init__(self, settings: Settings, *, keep: timedelta | None = None) -> None:
        self._settings = settings
        self._keep = keep
        self._role: str | None = None
        self._pulse = LoopHealth("timekeeper's loop", settings.health_patience_s)
        self._needs = (wiring.kafka_probe(settings), wiring.database_probe(settings))

    def health(self, *, ask: bool = True) -> Health:
        """Ready when it leads, or follows: then there is another to lead."""
        role = self._role
        unknown = None if role else "whether it leads is not known yet"
        return evaluate(
            [self._pulse],
            time.monotonic(),
            missing=[unknown, *(faults(self._needs) if ask else [])],
            details={"role": role},
        )

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set; leadership is given up then."""
        store = tracked(wiring.due_store(self._settings), self._pulse, "Postgres")
        leases = wiring.lease_store(self._settings)
        reader = RequestReader(self._settings, store.keep_leading)
        try:
            duties = self.duties(store, leases, reader)
            self._rounds(store, duties, stop)
        finally:
            store.close()
            leases.close()
            reader.close()

    def duties(self, store: DueStore, leases: LeaseStore, reader: RequestReader) -> list[Duty]:
        """What a leader does, in this order; `run` goes round and round through them."""
        settings, outbox = self._settings, Outbox(self._settings, store.keep_leading)
        who = f"timekeeper@{socket.gethostname()}"
        writer = RecordWriter(wiring.codec(settings), settings.topics, outbox, who)
        desk = DutyContext(settings, store, leases, reader, outbox, writer)
        duties = [make(desk) for make in DUTIES]
        return duties if self._keep is None else [*duties, Prune(desk, self._keep)]

    def _rounds(self, store: DueStore, duties: Sequence[Duty], stop: threading.Event) -> None:
        led = False
        while not stop.is_set():
            self._pulse.beat()
            leads, busy = _leads(store), False
            self._role = "leader" if leads else "follower" if self._pulse.trouble is None else None
            if leads and not led:
                log.info("leadership_acquired")
            led = leads
            for duty in duties:
                # Asked before each: the duty before may have lost the connection, and leadership with it.
                busy |= _leads(store) and _turn(duty)
            if not busy:
                stop.wait(TURN_S if leads else FOLLOW_S)


def _leads(store: DueStore) -> bool:
    try:
        return store.lead()
    except Unreachable as error:
        log.warning("store_unavailable", reason=str(error))
        return False


def _turn(duty: Duty) -> bool:
    """One duty's turn; what does not answer for one must not hold up the others."""
    try:
        return duty.turn()
    except Unreachable as error:
        log.warning("dependency_unavailable", duty=type(duty).__name__, reason=str(error))
        return False
    except Exception as error:  # noqa: BLE001 - one duty's fault must not end the others: nothing would ever be due again
        # Only the kind: what Python says of a value may quote it.
        log.error("duty_failed", duty=type(duty).__name__, reason=type(error).__name__)
        return False
