"""Collects what `sluice top` shows: processors, workers, other services, destinations, dead letters.

A poll costs six small queries to Postgres, and a request to each service of this home. The lag, which Kafka is asked for, is
read every LAG_EVERY_S only. A source that does not answer is named, and the others are shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from connectors.dead_letter_store import OPEN, DeadLetterFilter
from connectors.delivery_admin import DestinationView
from connectors.monitor_store import ProcessorFlow
from connectors.views import ProcessorView
from schemas.errors import SluiceError
from streams import wiring
from streams.admin.lag import Lag, lags
from streams.cli.service_status import ServiceState, merge
from streams.health.ask import ask_all
from streams.settings import Settings

#: Rates and times are those of the last minute.
WINDOW = timedelta(minutes=1)
#: Seconds between two readings of the lag.
LAG_EVERY_S = 5.0
#: Seconds that a service may take to answer; a page every two seconds has no use for later answers.
HEALTH_S = 2.0


@dataclass(frozen=True, slots=True)
class ProcessorLine:
    """A processor: open jobs by state, runs of the last minute, and the lag of its workers, in records and in seconds."""

    name: str
    paused: bool
    jobs: dict[str, int]
    flow: ProcessorFlow
    lag: int | None
    lag_s: float | None

    @property
    def failed_share(self) -> float | None:
        return self.flow.failed / self.flow.ended if self.flow.ended else None


@dataclass(frozen=True, slots=True)
class TopSnapshot:
    """`dead_letters`: open ones of the last hour. `faults`: sources that did not answer, in words. `took_ms`: how long this
    poll took. `lag_at`: when the lag was read."""

    at: datetime
    processors: Sequence[ProcessorLine]
    services: Sequence[ServiceState]
    destinations: Sequence[DestinationView]
    dead_letters: int | None
    lag_at: datetime | None
    faults: Sequence[str]
    took_ms: float


class TopCollector:
    """A context manager: its connections stay open between two polls. For one thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._contracts = wiring.contracts(settings)
        self._open = ExitStack()
        self._commands = self._open.enter_context(wiring.command_store(settings))
        self._monitor = self._open.enter_context(wiring.monitor_store(settings))
        self._deliveries = self._open.enter_context(wiring.delivery_admin(settings))
        self._letters = self._open.enter_context(wiring.dead_letter_store(settings))
        self._lags: list[Lag] = []
        self._lag_at: datetime | None = None
        self._lag_due = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def snapshot(self) -> TopSnapshot:
        """Ask everything at once. Never raises for something that is away."""
        begun, faults = time.monotonic(), list[str]()

        def guarded(what: str, ask: Callable[[], Any], otherwise: Any) -> Any:
            try:
                return ask()
            except SluiceError as error:
                faults.append(f"{what}: {error.message}")
                return otherwise

        names = [made.name for made in self._contracts]
        with ThreadPoolExecutor(3) as pool:
            answers = pool.submit(ask_all, self._settings.home, HEALTH_S)
            log = pool.submit(guarded, "Kafka", self._read_log, None)
            views, flows, destinations, letters = guarded(
                "Postgres", lambda: self._read_store(names), ([], [], [], None)
            )
            log.result()
            services = merge((), answers.result())
        flow_of = {each.processor: each for each in flows}
        view_of: dict[str, ProcessorView] = {each.name: each for each in views}
        lines = [self._line(name, view_of.get(name), flow_of.get(name)) for name in names]
        took_ms = (time.monotonic() - begun) * 1000
        now = datetime.now(UTC)
        return TopSnapshot(now, lines, services, destinations, letters, self._lag_at, faults, took_ms)

    def _read_store(self, names: Sequence[str]) -> tuple[Any, Any, Any, int]:
        recent = DeadLetterFilter(states=(OPEN,), since=datetime.now(UTC) - timedelta(hours=1))
        letters = sum(group.open for group in self._letters.groups(recent))
        return self._commands.processors(names), self._monitor.flow(WINDOW), self._deliveries.destinations(), letters

    def _read_log(self) -> None:
        if time.monotonic() < self._lag_due:
            return
        self._lag_due = time.monotonic() + LAG_EVERY_S
        now = datetime.now(UTC)
        self._lags = lags(self._settings, self._contracts)
        self._lag_at = now

    def _line(self, name: str, view: ProcessorView | None, flow: ProcessorFlow | None) -> ProcessorLine:
        groups = [f"{self._settings.topic_prefix}{kind}.{name}" for kind in ("workers", "leases")]
        of = [lag for lag in self._lags if lag.group in groups]
        known = [lag.records for lag in of if lag.records is not None]
        return ProcessorLine(
            name,
            view is not None and view.paused,
            {} if view is None else view.jobs,
            flow or ProcessorFlow(name, 0, 0, 0, None, None, None, None),
            sum(known) if known else None,
            max((lag.seconds for lag in of if lag.seconds is not None), default=None),
        )
