"""All stores of one database, and helpers that store events as the sink does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from connectors.lease_store import LeaseStore
from connectors.sink_store import ClaimedOffsets, OffsetRow, SinkStore, Stored
from connectors.views import JobView
from schemas.ids import new_id
from streams import wiring
from streams.notify.service import ProgressRule
from streams.settings import Settings
from streams.sink.event import Event, Phase
from streams.sink.fold import fold
from streams.sink.rows import history_rows, run_rows
from tests.harness.events import REQUESTS, RESULTS, event

GROUP = "sink"
TOPICS = {REQUESTS: "requests.echo", RESULTS: "results.echo"}
CALLBACK = {"callback_url": "http://127.0.0.1:9/done"}


class Stores:
    """The stores of one database, closed together."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._open: list[Any] = []
        self.sink = self.another_sink()
        self.jobs = self._opened(wiring.job_store(settings))
        self.monitor = self._opened(wiring.monitor_store(settings))
        self.commands = self._opened(wiring.command_store(settings))
        self.payloads = self._opened(wiring.payload_store(settings))
        self.batches = self._opened(wiring.batch_store(settings))
        self.access = self._opened(wiring.access_store(settings))
        self.uploads = self._opened(wiring.upload_store(settings))
        self.retention = self._opened(wiring.retention_store(settings))
        self.replays = self._opened(wiring.replay_store(settings))
        self.shadow = self._opened(wiring.shadow_store(settings))
        self.deliveries = self._opened(wiring.delivery_store(settings))
        self.due = self.another_due()
        self.sink.learn_topics(TOPICS)

    def another_sink(self) -> SinkStore:
        made: SinkStore = self._opened(wiring.sink_store(self.settings))
        return made

    def another_due(self) -> Any:
        return self._opened(wiring.due_store(self.settings))

    def lease_store(self) -> LeaseStore:
        """Open another lease store."""
        made: LeaseStore = self._opened(wiring.lease_store(self.settings))
        return made

    def close(self) -> None:
        for store in self._open:
            store.close()

    # ── as the sink does ──

    def store(
        self,
        *events: Event,
        offsets: Sequence[OffsetRow] = (),
        notifier: bytes | None = None,
        progress_rule: ProgressRule | None = None,
    ) -> Stored:
        """Store in one batch, or in several if the fold splits them; return the last result with the losers of all."""
        losers: frozenset[tuple[bytes, int]] = frozenset()
        later: list[Event] = list(events)
        while True:
            folds, later = fold(later)
            rows = run_rows(folds, notifier, progress_rule)
            stored = self.sink.store(rows, history_rows(folds), () if later else offsets)
            losers |= stored.losers
            if not later:
                return Stored(losers, stored.decided_at, stored.ended_after_progress)

    def claim(self, begin: int = 0) -> ClaimedOffsets:
        return self.sink.claim(GROUP, {(RESULTS, 0): begin})[RESULTS, 0]

    def view(self, job: UUID, run: int | None = None) -> JobView:
        found: JobView | None = self.jobs.job(str(job), run)
        assert found is not None
        return found

    def kinds(self, job: UUID) -> list[tuple[str, int]]:
        """Return the history: each event's kind and offset, by offset."""
        return sorted(((line.kind, line.coordinates.offset) for line in self.view(job).history), key=lambda one: one[1])

    def _opened(self, store: Any) -> Any:
        self._open.append(store)
        return store


def step(claimed: ClaimedOffsets, to: int, published: int | None = None) -> OffsetRow:
    return OffsetRow(
        GROUP, RESULTS, 0, claimed.epoch, claimed.next_offset, to, claimed.published if published is None else published
    )


def new_job() -> UUID:
    return UUID(new_id())


def requested(job: UUID, offset: int = 0, **more: Any) -> Event:
    return event(Phase.REQUESTED, offset, job=job, **more)


def ended(job: UUID, offset: int = 1, **more: Any) -> Event:
    return event(Phase.ENDED, offset, job=job, **more)


def retrying(job: UUID, offset: int = 1, *, in_ms: int = 0, **more: Any) -> Event:
    return event(Phase.RETRYING, offset, job=job, **more)._replace(retry_in_ms=in_ms)
