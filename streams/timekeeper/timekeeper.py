"""The timekeeper: elects one leader among any number of timekeepers, which loops over the duties.

To add a duty: a class in a file of its own with `run_once()` (duty.py), and an entry in `DUTIES`.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple

from connectors.due_store import DueStore
from connectors.lease_store import LeaseStore
from connectors.replay_store import ReplayStore
from schemas.errors import SluiceError, Unreachable
from streams import logs, wiring
from streams.health.cached_probe import faults
from streams.health.loop_health import LoopHealth, tracked
from streams.health.loop_threads import frames_of
from streams.health.report import Health, evaluate
from streams.settings import Settings
from streams.timekeeper.batches import EndedBatches
from streams.timekeeper.cancels import Cancels
from streams.timekeeper.due import DueRuns
from streams.timekeeper.duty import Duty, DutyContext, MakeDuty
from streams.timekeeper.ending import RunEnder
from streams.timekeeper.expired_leases import ExpiredLeases
from streams.timekeeper.pauses import Pauses
from streams.timekeeper.prune import Prune
from streams.timekeeper.publisher import RecordPublisher
from streams.timekeeper.record_writer import RecordWriter
from streams.timekeeper.replays import Replays
from streams.timekeeper.requests import RequestReader
from streams.timekeeper.requests_gone import RequestsGone
from streams.timekeeper.silent import SilentRuns
from streams.timekeeper.unsent import Unsent
from streams.timekeeper.uploads import ExpiredUploads, UnsentUploads

log = logs.get("timekeeper")

#: Seconds between two looks at the store. A retry is at most this late, or some seconds while a new leader takes over.
TURN_S = 0.2
#: Seconds between two attempts of a follower to become the leader.
FOLLOW_S = 1.0
#: Seconds that a stopped timekeeper waits for records to be confirmed.
STOP_S = 5.0
#: Bytes of requests that are kept between two turns, because a replay wants the next ones soon.
AHEAD_BYTES = 8 * 1024 * 1024

DUTIES: Sequence[MakeDuty] = (
    *(DueRuns, Cancels, ExpiredLeases, Unsent, RequestsGone, SilentRuns, Pauses),
    *(UnsentUploads, ExpiredUploads, EndedBatches, Replays),
)


class Timekeeper:
    """`keep`: how long ended runs are kept; None keeps them forever. Several may run: one leads, the others wait."""

    def __init__(self, settings: Settings, *, keep: timedelta | None = None) -> None:
        self._settings = settings
        self._keep = keep
        self._role: str | None = None
        self._faults: dict[str, DutyFault] = {}
        self._loop_health = LoopHealth("timekeeper's loop", settings.health_patience_s)
        self._probes = (wiring.kafka_probe(settings), wiring.database_probe(settings))

    def health(self, *, ask: bool = True) -> Health:
        """Return the health: ready if it leads and its duties succeed, or follows, because then another one leads."""
        role, failing = self._role, dict(self._faults)
        unknown = None if role else "whether it leads is not known yet"
        failed = [f"{name} failed {fault.times} times: {fault.reason}" for name, fault in failing.items()]
        return evaluate(
            [self._loop_health],
            time.monotonic(),
            missing=[unknown, *failed, *(faults(self._probes) if ask else [])],
            details={"role": role, "failing": {name: fault.times for name, fault in failing.items()}},
        )

    def run(self, stop: threading.Event) -> None:
        """Run until `stop` is set, then give up leadership."""
        store = tracked(wiring.due_store(self._settings), self._loop_health, "Postgres")
        leases, replays = wiring.lease_store(self._settings), wiring.replay_store(self._settings)
        wait = _StoppableWait(store.keep_leading, stop)
        reader = RequestReader(self._settings, wait, ahead_bytes=AHEAD_BYTES)
        try:
            self._loop(store, self.duties(store, leases, replays, reader, wait), stop)
        finally:
            store.close()
            leases.close()
            replays.close()
            reader.close()

    def duties(
        self,
        store: DueStore,
        leases: LeaseStore,
        replays: ReplayStore,
        reader: RequestReader,
        wait: Callable[[], None] | None = None,
    ) -> list[Duty]:
        """Return a leader's duties in the order in which `run` repeats them. `wait` is called while they wait for Kafka."""
        settings, publisher = self._settings, RecordPublisher(self._settings, wait or store.keep_leading)
        writer = RecordWriter(wiring.codec(settings), settings.topics, publisher, f"timekeeper@{socket.gethostname()}")
        ender = RunEnder(writer, publisher)
        context = DutyContext(settings, store, leases, replays, reader, publisher, writer, ender)
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
            if not leads:
                self._faults = {}  # the next leader's
            led = leads
            for duty in duties:
                # Checked before each: the last duty may have lost the connection, and leadership with it.
                busy |= not stop.is_set() and _leads(store) and self.run_once(duty)
            if not busy:
                stop.wait(TURN_S if leads else FOLLOW_S)

    def run_once(self, duty: Duty) -> bool:
        """Run one duty. Its failure does not stop the others; health shows it until the duty succeeds again."""
        name = type(duty).__name__
        try:
            busy = duty.run_once()
        except Unreachable as error:
            log.warning("dependency_unavailable", duty=name, reason=str(error))
            return self._failed(name, error.message)
        except SluiceError as error:
            log.error("duty_failed", duty=name, code=str(error.code), reason=str(error))
            return self._failed(name, error.message)
        except Exception as error:  # noqa: BLE001 - a bug in one duty must not stop the others for good
            # Without the exception's text, which may quote a patient's value.
            log.error("duty_failed", duty=name, reason=type(error).__name__, frames=frames_of(error))
            return self._failed(name, f"{type(error).__name__}; search its log for duty_failed")
        self._faults.pop(name, None)
        return busy

    def _failed(self, name: str, reason: str) -> bool:
        last = self._faults.get(name)
        self._faults[name] = DutyFault(reason, 1 if last is None else last.times + 1)
        return False


class DutyFault(NamedTuple):
    """Why a duty fails, and how often it has failed since it last succeeded."""

    reason: str
    times: int


class _StoppableWait:
    """Called while a duty waits for Kafka: keeps leadership, and ends the wait some seconds after the service was stopped."""

    def __init__(self, keep_leading: Callable[[], None], stop: threading.Event) -> None:
        self._keep_leading = keep_leading
        self._stop = stop
        self._ends_at: float | None = None

    def __call__(self) -> None:
        """Raises Unreachable once leadership is lost, or the service has waited long enough for its end."""
        if self._stop.is_set():
            now = time.monotonic()
            self._ends_at = self._ends_at or now + STOP_S
            if now >= self._ends_at:
                raise Unreachable("The timekeeper was stopped while it waited for Kafka.")
        self._keep_leading()


def _leads(store: DueStore) -> bool:
    try:
        return store.lead()
    except Unreachable as error:
        log.warning("store_unavailable", reason=str(error))
        return False
