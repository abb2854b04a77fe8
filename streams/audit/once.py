"""Runs an audit from begin to end: `sluice audit` and `POST /v1/audits`."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import UTC, datetime

from schemas.codec import Codec
from streams import wiring
from streams.audit.auditor import Auditor, Watch, needs_second_look
from streams.audit.log_ranges import LogRanges
from streams.audit.report import Report, make_report
from streams.audit.scope import Scope
from streams.audit.tally import EXAMPLES, Tally
from streams.settings import Settings

STOPPED = "it was interrupted"


class NoWatch:
    """Follows nothing."""

    def phase(self, name: str, total: int) -> None:
        """Do nothing."""

    def step(self, count: int) -> None:
        """Do nothing."""


def audit(
    settings: Settings,
    scope: Scope,
    *,
    stop: threading.Event | None = None,
    watch: Watch | None = None,
    examples: int = EXAMPLES,
) -> Report:
    """Audit once. Once `stop` is set, the report says that it is partial, and of what. Raises SluiceError."""
    stop, watch = stop or threading.Event(), watch or NoWatch()
    begun, tally = datetime.now(UTC), Tally(most_examples=examples)
    with (
        wiring.open_registry(settings) as registry,
        closing(wiring.audit_store(settings)) as store,
        closing(LogRanges(settings, stop)) as log,
    ):
        auditor = Auditor(settings, scope, store, log, Codec(registry), stop=stop, watch=watch)
        auditor.first_look()
        if auditor.complete:
            _examine(auditor, tally, watch)
    return make_report(auditor, scope, tally, begun, None if auditor.complete else STOPPED)


def _examine(auditor: Auditor, tally: Tally, watch: Watch) -> None:
    """Assess every run. Those in doubt count after a second look only."""
    runs, doubtful = auditor.evidence.runs, []
    watch.phase("jobs", len(runs))
    for one in auditor.assessed(list(runs)):
        if needs_second_look(one):
            doubtful.append(one.key)
        else:
            tally.add(one)
    if doubtful and auditor.complete:
        auditor.look_again()
    if doubtful and auditor.complete:
        watch.phase("jobs in doubt", len(doubtful))
        for one in auditor.assessed(doubtful):
            tally.add(one)
    if auditor.complete:
        tally.note(auditor.of_no_run())
