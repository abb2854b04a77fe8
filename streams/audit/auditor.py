"""Reads the log and the store in an order that leaves no doubt, and assesses each run.

    workers' commits ─▶ sink's offsets ─▶ ends of results and outcomes ─▶ ends of requests ─▶ the records ─▶ the rows

Each is read after the one before, so: a request that a worker had committed has its result among the records; an outcome that
the sink had confirmed is among the records; a record that the sink had stored has its rows. A contradiction is a
finding. Runs with findings get a second look, in the same order.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Protocol

from connectors.audit_store import AuditedRun, AuditKey, AuditState, AuditStore, ListedRun
from connectors.sink_store import LogPosition
from schemas.codec import Codec
from streams.audit.assess import Assessment, Situation, assess
from streams.audit.evidence import Evidence, RunInLog
from streams.audit.kinds import AuditFinding, AuditKind
from streams.audit.log_ranges import LogRanges, Part, Span
from streams.audit.publication import PUBLISHING
from streams.audit.scope import Scope, Topics, find_topics, request_ranges
from streams.audit.worker_progress import read_progress
from streams.settings import Settings

#: Runs of one page of rows, and of one list of the store.
PAGE = 2_000
LIST = 10_000
#: Records of a run follow its request. Clocks of producers may differ by this much.
_CLOCKS = timedelta(minutes=10)
_BEGIN = datetime(1970, 1, 1, tzinfo=UTC)


class Watch(Protocol):
    """Follows an audit: a phase has a name and a number of steps."""

    def phase(self, name: str, total: int) -> None: ...

    def step(self, count: int) -> None: ...


class Auditor:
    """`stop` ends a read early: then `complete` is False. For one thread.

    `only_new`: lists no runs of the store but those whose request was just read: for looks that follow each other.
    """

    def __init__(
        self,
        settings: Settings,
        scope: Scope,
        store: AuditStore,
        log: LogRanges,
        codec: Codec,
        *,
        stop: threading.Event,
        watch: Watch,
        only_new: bool = False,
    ) -> None:
        self._settings, self._scope, self._store, self._log = settings, scope, store, log
        self._stop, self._watch, self._only_new = stop, watch, only_new
        self.topics: Topics = find_topics(settings, scope)
        self.evidence = Evidence(codec, self.topics.ids, scope.tenant, keep_early=only_new)
        #: What was read of each partition of requests, and of the topics that follow.
        self.ranges: dict[Part, Span] = {}
        self._followed: dict[Part, Span] = {}
        self._state = AuditState(_BEGIN, "", {}, {}, frozenset())
        self._lows: dict[tuple[bytes, int], int] = {}
        self._whole = scope.since is None and not scope.offsets and not only_new
        self.situation: Situation | None = None
        self.complete = True

    def look(self, ranges: Callable[[dict[Part, Span]], dict[Part, Span]]) -> None:
        """Read on. `ranges` returns the spans of requests to read, of those that the log keeps. Raises SluiceError."""
        if self._only_new:
            self.topics = find_topics(self._settings, self._scope)
            self.evidence.topic_ids = self.topics.ids
        topics, log = self.topics, self._log
        progress = read_progress(self._settings, log.kept(topics.requests), topics.ids, topics.printed)
        self._state = self._store.state(f"{self._settings.topic_prefix}sink")
        later = log.kept(topics.later)
        kept = log.kept(topics.requests)
        self._lows = {(topics.ids[topic], number): low for (topic, number), (low, _) in {**kept, **later}.items()}
        wanted = ranges(kept)
        self._read_requests(wanted)
        if wanted:
            self._list(wanted)
        self._follow(later)
        outcomes = {part: span for part, span in later.items() if part[0] in topics.outcomes}
        self.situation = Situation(
            self._state,
            progress,
            {(topics.ids[name], number): span for (name, number), span in {**self.ranges, **self._followed}.items()},
            self._lows,
            self.evidence.dead_letters,
            log.kept_since(outcomes),
            self._scope.late,
            None if self._settings.keep_days is None else timedelta(days=self._settings.keep_days),
            whole=self._whole and not any(low for low, _ in kept.values()),
        )

    @property
    def now(self) -> datetime:
        """Return the store's time of the last look."""
        return self._state.now

    def first_look(self) -> None:
        """Read everything that the scope names. Raises SluiceError."""
        self.look(lambda kept: request_ranges(self._scope, self._log, kept))

    def look_again(self) -> None:
        """Read what has followed since, without new requests. Raises SluiceError."""
        self.look(lambda kept: {})

    def assessed(self, keys: Iterable[AuditKey]) -> Iterator[Assessment]:
        """Yield the assessments of runs, page by page, until stopped. Raises SluiceError."""
        left = iter(keys)
        while page := list(islice(left, PAGE)):
            if self._stop.is_set():
                self.complete = False
                return
            yield from self._page(page)
            self._watch.step(len(page))

    def of_no_run(self) -> list[AuditFinding]:
        """Return the findings of records whose run is not among the evidence. Raises SluiceError."""
        return [*self._stray_outcomes(), *self._unreadable()]

    # ── parts of the above ──

    def _read_requests(self, wanted: dict[Part, Span]) -> None:
        names, evidence = self._settings.topics, self.evidence
        processors = {topic: names.processor_of(topic) or "" for topic in self.topics.requests}
        evidence.times = None
        self._watch.phase("requests", sum(stop - start for start, stop in wanted.values()))
        reached = self._log.read(
            wanted, lambda message: evidence.take_request(message, processors[message.topic() or ""]), self._watch.step
        )
        for part, offset in reached.items():
            start, _ = self.ranges.get(part, wanted[part])
            self.ranges[part] = (start, offset)
            self.complete &= offset >= wanted[part][1]

    def _list(self, wanted: dict[Part, Span]) -> None:
        """Add the runs that the store has and that were not read as requests."""
        for listed in _pages(self._store, *self._window()):
            if (listed.job_id, listed.run) not in self.evidence.runs and self._belongs(listed, wanted):
                self.evidence.runs[listed.job_id, listed.run] = RunInLog(listed.processor, listed=True)
        if not self._scope.offsets:
            since, until = self._scope.since or _BEGIN, self._scope.until or self._state.now
            for key in self._store.waiting(since, until, LIST):
                self.evidence.runs.setdefault(key, RunInLog("", listed=True))

    def _window(self) -> tuple[datetime, datetime]:
        """Return the time in which the requests of this look may have been made."""
        if self._scope.offsets or self._only_new:
            begin, end = (datetime.fromtimestamp(ms / 1000, UTC) for ms in self.evidence.times or (0, 0))
            return max(begin - _CLOCKS, _BEGIN), end + _CLOCKS
        return self._scope.since or _BEGIN, self._scope.until or self._state.now + _CLOCKS

    def _belongs(self, listed: ListedRun, wanted: dict[Part, Span]) -> bool:
        """True if a run that the store lists belongs to the scope, although its request was not read."""
        if self._scope.processors and listed.processor not in self._scope.processors:
            return False
        if listed.place is None or listed.place.offset < self._lows.get(listed.place[:2], 2**63):
            return not self._scope.offsets and not self._only_new
        topic = self._state.topics.get(listed.place.topic_id, "")
        start, stop = wanted.get((topic, listed.place.partition), (0, 0))
        return start <= listed.place.offset < min(stop, self.ranges.get((topic, listed.place.partition), (0, 0))[1])

    def _follow(self, later: dict[Part, Span]) -> None:
        """Read the results, outcomes and dead letters up to these ends."""
        if not self._followed:
            starts = self._log.from_time(later, self._first_time())
            self._followed = {part: (starts[part], starts[part]) for part in later}
        wanted = {part: (self._followed.get(part, (low, low))[1], high) for part, (low, high) in later.items()}
        self._watch.phase("results and outcomes", sum(max(0, stop - start) for start, stop in wanted.values()))
        reached = self._log.read(wanted, self._taker(), self._watch.step)
        for part, offset in reached.items():
            begin, _ = self._followed.get(part, (wanted[part][0], 0))
            self._followed[part] = (begin, offset)
            self.complete &= offset >= wanted[part][1]

    def _first_time(self) -> datetime | None:
        """Return the time from which on records may belong to the requests that were read; None: from the beginning."""
        if self._only_new and self.evidence.times is None:
            return self._state.now - 2 * _CLOCKS
        return None if self._whole else max(self._window()[0] - _CLOCKS, _BEGIN)

    def _taker(self) -> Callable[..., None]:
        names, evidence = self._settings.topics, self.evidence
        takers: dict[str, Callable[..., None]] = dict.fromkeys(self.topics.results, evidence.take_result)
        takers |= dict.fromkeys(self.topics.dead_letters, evidence.take_dead_letter)
        processors = {topic: names.processor_of(topic) or "" for topic in self.topics.outcomes}
        takers |= {
            topic: lambda message, name=name: evidence.take_outcome(message, name) for topic, name in processors.items()
        }
        return lambda message: takers[message.topic() or ""](message)

    def _page(self, keys: Sequence[AuditKey]) -> Iterator[Assessment]:
        assert self.situation is not None
        at, runs = self.situation, self.evidence.runs
        rows = [row for row in self._store.runs(keys) if self._is_of_the_tenant(row)]
        records = [
            ((row.job_id, row.run), place)
            for row in rows
            if row.known
            for place in runs[row.job_id, row.run].places()
            if place.offset < at.offsets(place).stored
        ]
        missing = set(self._store.unrecorded((key[0], place) for key, place in records))
        lacking: dict[AuditKey, set[LogPosition]] = {}
        for key, place in records:
            if place in missing:
                lacking.setdefault(key, set()).add(place)
        for row in rows:
            key = (row.job_id, row.run)
            yield assess(runs[key], row, at, lacking.get(key, frozenset()))

    def _is_of_the_tenant(self, row: AuditedRun) -> bool:
        """True unless the store listed a run of another tenant, which is forgotten. Requests were chosen by their header."""
        key = (row.job_id, row.run)
        if self._scope.tenant in (None, row.tenant) or self.evidence.runs[key].requests:
            return True
        del self.evidence.runs[key]
        return False

    def _stray_outcomes(self) -> Iterator[AuditFinding]:
        """Find published outcomes of runs that the store does not know at all."""
        assert self.situation is not None
        if self._scope.offsets or self._scope.tenant is not None:
            return
        strays = list(self.evidence.strays)
        for start in range(0, len(strays), PAGE):
            for row in self._store.runs(strays[start : start + PAGE]):
                if not row.known:
                    yield from assess(self.evidence.strays[row.job_id, row.run], row, self.situation).findings

    def _unreadable(self) -> Iterator[AuditFinding]:
        assert self.situation is not None
        for place, topic in self.evidence.unreadable.items():
            if place not in self.evidence.dead_letters and self.situation.progress.is_done(place):
                yield AuditFinding(AuditKind.UNREADABLE, "", 0, f"{topic}[{place.partition}]@{place.offset}")


def needs_second_look(one: Assessment) -> bool:
    return bool(one.findings) or one.publication == PUBLISHING


def _pages(store: AuditStore, since: datetime, until: datetime) -> Iterator[ListedRun]:
    after = None
    while page := store.requested(since, until, LIST, after):
        yield from page
        if len(page) < LIST:
            return
        after = (page[-1].requested_at, page[-1].job_id, page[-1].run)
