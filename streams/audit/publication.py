"""Compares a stored outcome with its record in `outcomes.<processor>`. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from connectors.audit_store import AuditedRun, StoredOutcomeView
from streams.audit.evidence import RunInLog, SeenOutcome, content_digest
from streams.audit.kinds import AuditKind

if TYPE_CHECKING:
    from streams.audit.assess import Notes, Situation

SAME = "published, and the same"
AGAIN = "published several times, and the same"
GONE = "no longer kept by the log"
PUBLISHING = "being published"
MISSING = "not published"
DIFFERENT = "published, and different"
FINAL = frozenset({SAME, AGAIN, GONE})


def of(seen: RunInLog, row: AuditedRun, at: Situation, notes: Notes) -> str:
    """Return the run's row in the table of publications; "" without an outcome."""
    outcome = row.outcome
    if outcome is None:
        newest = max((each.at_ms for each in seen.published), default=0)
        if seen.published and not at.is_pruned(newest):
            notes.add(
                AuditKind.NOT_STORED, f"published as {seen.published[-1].status or 'a record that can not be read'}"
            )
        return ""
    if not seen.published:
        return _missing(outcome, at, notes)
    if len({each.digest for each in seen.published}) > 1:
        notes.add(AuditKind.TWO_OUTCOMES, f"{len(seen.published)} records, the last is {_named(seen.published[-1])}")
        return DIFFERENT
    reason = _difference(seen, row, outcome, at)
    if reason is None:
        return SAME if len(seen.published) == 1 else AGAIN
    notes.add(AuditKind.OUTCOME_DIFFERS, reason)
    return DIFFERENT


def _missing(outcome: StoredOutcomeView, at: Situation, notes: Notes) -> str:
    decided_ms = outcome.decided_at.timestamp() * 1000
    if decided_ms < at.kept_since:
        return GONE
    if outcome.place.offset >= at.offsets(outcome.place).published and not at.is_late(decided_ms):
        return PUBLISHING
    notes.add(AuditKind.NOT_PUBLISHED, f"{outcome.status}, decided at {outcome.decided_at:%Y-%m-%d %H:%M:%S} UTC")
    return MISSING


def _difference(seen: RunInLog, row: AuditedRun, outcome: StoredOutcomeView, at: Situation) -> str | None:
    published = seen.published[-1]
    if published.status is None:
        return "the published record can not be decoded"
    if (published.status, published.error_code) != (outcome.status, outcome.error_code):
        stored = f"{outcome.status} {outcome.error_code or ''}".strip()
        return f"stored as {stored}, published as {_named(published)}"
    if published.attempt != outcome.attempt:
        return f"stored of attempt {outcome.attempt}, published of attempt {published.attempt}"
    if not row.erased:
        stored_content = b"" if outcome.output is None else content_digest(json.loads(outcome.output))
        if stored_content != published.content:
            return "the stored output is not the published one"
    return _difference_of_place(seen, outcome, published, at)


def _difference_of_place(
    seen: RunInLog, outcome: StoredOutcomeView, published: SeenOutcome, at: Situation
) -> str | None:
    """Compare with the result that won. The place of a dead letter, or of a result that has left the log, tells nothing."""
    won = next((each for each in seen.results if each.place == outcome.place), None)
    if won is not None:
        return None if won.digest == published.digest else "published is not the result that won"
    start, stop = at.spans.get(outcome.place[:2], (0, 0))
    if at.state.topics.get(outcome.place.topic_id, "").endswith("dead-letters") or at.has_left(outcome.place):
        return None
    return "no result lies where the one that won is said to be" if start <= outcome.place.offset < stop else None


def _named(seen: SeenOutcome) -> str:
    return f"{seen.status or 'unreadable'} {seen.error_code or ''}".strip()
