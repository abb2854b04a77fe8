"""Audits what is new, again and again. Its state is in memory only: it may be started again anywhere, at any time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack, closing
from datetime import timedelta

from connectors.audit_store import AuditKey
from schemas.codec import Codec
from schemas.errors import SluiceError
from streams import logs, wiring
from streams.audit.assess import Assessment
from streams.audit.auditor import Auditor, needs_second_look
from streams.audit.canary import Canary, CanaryResult
from streams.audit.kinds import MEANINGS, AuditFinding, AuditKind
from streams.audit.log_ranges import LogRanges, Part, Span
from streams.audit.once import NoWatch
from streams.audit.scope import Scope
from streams.health.loop_health import LoopHealth
from streams.health.report import Health, evaluate
from streams.settings import Settings

log = logs.get("audit")

#: Requests younger than this are left to the next round.
GRACE = timedelta(seconds=5)
#: Records of a run may be so much older than its request, by the clocks of their producers, which is read a round later.
EARLY = GRACE + timedelta(minutes=1)
#: A service that was started looks so far back.
BACK = timedelta(hours=1)
#: Runs that are open, or whose callback is, and are looked at again each round. Beyond that the oldest are left out.
MOST_OPEN = 100_000
#: Findings that are remembered, so that each is logged once.
MOST_REPORTED = 100_000


class AuditService:
    """`every_s`: seconds from the begin of one round to the next. `canary`: None for no canary jobs."""

    def __init__(self, settings: Settings, scope: Scope, every_s: float, canary: Canary | None) -> None:
        self._settings, self._scope, self._every_s, self._canary = settings, scope, every_s, canary
        self._log: LogRanges | None = None
        self._loop = LoopHealth("audit's loop", settings.health_patience_s)
        self._next: dict[Part, int] = {}
        self._reported: dict[AuditFinding, None] = {}
        self._counts: Counter[AuditKind] = Counter()
        self._rounds = self._examined = self._open_runs = 0
        self._last: CanaryResult | None = None
        self._last_look_ms = 0.0

    def health(self, *, ask: bool = True) -> Health:
        """Return the health: ready once a round has succeeded, and while the last one did. Findings are in the details."""
        missing = [] if self._rounds else ["no round has ended yet"]
        canary = None if self._last is None else {"ms": self._last.ms, "late": self._last.late}
        details = {
            "rounds": self._rounds,
            "examined": self._examined,
            "open": self._open_runs,
            "findings": {kind.value: count for kind, count in self._counts.items()},
            "canary": canary,
        }
        return evaluate([self._loop], time.monotonic(), missing=missing, details=details)

    def run(self, stop: threading.Event) -> None:
        """Audit until `stop` is set."""
        while not stop.is_set():
            try:
                with ExitStack() as resources:
                    auditor = self.open_auditor(resources, stop)
                    while not stop.is_set():
                        begun = time.monotonic()
                        self.run_once(auditor, stop)
                        self._wait(stop, begun + self._every_s)
            except SluiceError as error:  # also a topic that is made again; what was open is read again from the log
                self._loop.fault = error.message
                log.warning("session_restarted", reason=str(error))
                self._next.clear()
                self._wait(stop, time.monotonic() + min(self._every_s, 5.0))

    def run_once(self, auditor: Auditor, stop: threading.Event) -> None:
        """Do one round. Raises SluiceError."""
        self._loop.beat()
        if self._canary is not None:
            self._last = self._canary.run(stop, self._loop.beat) or self._last
        begun = time.monotonic()
        auditor.look(lambda kept: self._new(auditor, kept))
        done = self._examine(auditor, list(auditor.evidence.runs))
        if stop.is_set():
            return
        self._next = {part: stop_at for part, (_, stop_at) in auditor.ranges.items()}
        self._forget(auditor, done)
        self._report(auditor.of_no_run())
        auditor.evidence.strays.clear()
        # Of requests that this round left to the next, records were read already.
        auditor.evidence.forget_early(self._last_look_ms - EARLY.total_seconds() * 1000)
        self._last_look_ms = auditor.now.timestamp() * 1000
        self._rounds, self._loop.fault = self._rounds + 1, None
        self._examined += len(done)
        self._open_runs = len(auditor.evidence.runs)
        log.info("audit_round", ended=len(done), open=self._open_runs, seconds=round(time.monotonic() - begun, 2))

    def open_auditor(self, resources: ExitStack, stop: threading.Event) -> Auditor:
        """Return an auditor on clients that are closed with `resources`. Raises SluiceError."""
        registry = resources.enter_context(wiring.open_registry(self._settings))
        store = resources.enter_context(closing(wiring.audit_store(self._settings)))
        ranges = self._log = resources.enter_context(closing(LogRanges(self._settings, stop, self._loop.beat)))
        codec = Codec(registry)
        return Auditor(self._settings, self._scope, store, ranges, codec, stop=stop, watch=NoWatch(), only_new=True)

    # ── parts of the above ──

    def _new(self, auditor: Auditor, kept: dict[Part, Span]) -> dict[Part, Span]:
        """Return the spans of requests since the last round that are old enough."""
        assert self._log is not None
        now = auditor.now
        starts = self._next if self._next.keys() >= kept.keys() else self._log.from_time(kept, now - BACK) | self._next
        stops = self._log.from_time(kept, now - GRACE)
        found = {}
        for part, (low, high) in kept.items():
            start = starts[part] if low <= starts[part] <= high else low
            found[part] = (start, max(start, stops[part]))
        return found

    def _examine(self, auditor: Auditor, keys: list[AuditKey]) -> list[AuditKey]:
        """Report what is found; return the runs that need no further look: those that ended, for good or with a finding."""
        first = list(auditor.assessed(keys))
        self._loop.beat()
        doubtful = [one.key for one in first if needs_second_look(one)]
        second: list[Assessment] = []
        if doubtful:
            auditor.look_again()
            second = list(auditor.assessed(doubtful))
        self._report(finding for one in second for finding in one.findings)
        sure = [one for one in first if not needs_second_look(one)] + second
        return [one.key for one in sure if one.settled or (one.findings and one.publication)]

    def _forget(self, auditor: Auditor, done: list[AuditKey]) -> None:
        runs = auditor.evidence.runs
        for key in done:
            del runs[key]
        if (extra := len(runs) - MOST_OPEN) > 0:
            for key in list(runs)[:extra]:
                del runs[key]
            log.warning("audit_left_out", runs=extra, most=MOST_OPEN)

    def _report(self, findings: Iterable[AuditFinding]) -> None:
        """Log each finding once."""
        for finding in findings:
            if finding in self._reported:
                continue
            self._reported[finding] = None
            self._counts[finding.kind] += 1
            look = MEANINGS[finding.kind].next_command.format(job_id=finding.job_id)
            log.error(
                "audit_finding",
                kind=finding.kind.value,
                job_id=finding.job_id,
                run=finding.run,
                detail=finding.detail,
                next=look,
            )
        while len(self._reported) > MOST_REPORTED:
            del self._reported[next(iter(self._reported))]

    def _wait(self, stop: threading.Event, until: float) -> None:
        """Wait until a monotonic time, or until stopped."""
        while not stop.is_set() and (left := until - time.monotonic()) > 0:
            self._loop.beat()
            stop.wait(min(left, 1.0))
