"""Compares an outcome with its callback. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.audit_store import AuditedRun
from schemas.states import Mode
from streams.audit.evidence import RunInLog
from streams.audit.kinds import AuditKind

if TYPE_CHECKING:
    from streams.audit.assess import Notes, Situation

NONE = "none wanted"
SHADOW = "none, a shadow run"
ERASED = "none, its case was erased"
MISSING = "missing"
FINAL = frozenset({NONE, SHADOW, ERASED, "delivered", "gone", "skipped", "superseded"})
_GIVEN_UP = frozenset({"parked", "refused"})


def of(seen: RunInLog, row: AuditedRun, at: Situation, notes: Notes) -> str:
    """Return the run's row in the table of callbacks; "" without an outcome."""
    found = row.deliveries
    if row.outcome is None:
        if found:
            notes.add(AuditKind.DELIVERY_EARLY, f"callback {found[0].delivery_id} is {found[0].state}")
        return ""
    if not found:
        return _none(seen, row, notes)
    if len(found) > 1:
        notes.add(AuditKind.DELIVERY_DOUBLED, f"{len(found)} callbacks, under different ids")
    delivery = found[0]
    if delivery.state in _GIVEN_UP:
        notes.add(AuditKind.DELIVERY_FAILED, f"callback {delivery.delivery_id} is {delivery.state}")
    elif delivery.state == "pending" and at.is_late(delivery.due_at.timestamp() * 1000):
        notes.add(
            AuditKind.DELIVERY_OVERDUE, f"callback {delivery.delivery_id} was due at {delivery.due_at:%H:%M:%S} UTC"
        )
    return delivery.state


def _none(seen: RunInLog, row: AuditedRun, notes: Notes) -> str:
    """The header of the result that won decides, as in the sink. Where the log has lost it, the first request decides for
    run 0; a later run may have been replayed without callbacks."""
    if row.mode == Mode.SHADOW:
        return SHADOW
    if row.erased:
        return ERASED
    said = seen.published[-1].callback if seen.published else None
    if not (row.callback and row.run == 0 if said is None else said):
        return NONE
    notes.add(AuditKind.DELIVERY_MISSING, "its request names a callback URL")
    return MISSING
