"""The kinds of findings: each breaks the promise, or may do so unless a person looks. Pure data."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class AuditKind(StrEnum):
    UNKNOWN = "accepted_unknown"
    OVERDUE = "overdue"
    OUTCOME_MISSING = "outcome_missing"
    STATE_CONTRADICTS = "state_contradicts"
    NOT_PUBLISHED = "not_published"
    NOT_STORED = "not_stored"
    OUTCOME_DIFFERS = "outcome_differs"
    TWO_OUTCOMES = "two_outcomes"
    NOT_RECORDED = "not_recorded"
    REQUEST_MISSING = "request_missing"
    UNREADABLE = "unreadable"
    DELIVERY_MISSING = "delivery_missing"
    DELIVERY_DOUBLED = "delivery_doubled"
    DELIVERY_EARLY = "delivery_early"
    DELIVERY_FAILED = "delivery_failed"
    DELIVERY_OVERDUE = "delivery_overdue"


EXPLAIN = "sluice explain {job_id}"
DELIVERIES = "sluice deliveries list --job {job_id}"


class Meaning(NamedTuple):
    """`next_command`: how to look further, with `{job_id}` of an example."""

    text: str
    next_command: str = EXPLAIN


MEANINGS: dict[AuditKind, Meaning] = {
    AuditKind.UNKNOWN: Meaning("accepted, read by the sink, and unknown to the store"),
    AuditKind.OVERDUE: Meaning("open, and the service that has to act on it is late"),
    AuditKind.OUTCOME_MISSING: Meaning("a final result was read, and the store has no outcome"),
    AuditKind.STATE_CONTRADICTS: Meaning("the rows of the run contradict each other"),
    AuditKind.NOT_PUBLISHED: Meaning("outcome stored, and not published"),
    AuditKind.NOT_STORED: Meaning("outcome published, and not stored"),
    AuditKind.OUTCOME_DIFFERS: Meaning("the stored and the published outcome differ"),
    AuditKind.TWO_OUTCOMES: Meaning("different outcomes were published under one key"),
    AuditKind.NOT_RECORDED: Meaning("the sink passed a record without recording it"),
    AuditKind.REQUEST_MISSING: Meaning("the store has the run, and the log lacks its request"),
    AuditKind.UNREADABLE: Meaning("a record that names no job, and is no dead letter", "sluice tail TOPIC"),
    AuditKind.DELIVERY_MISSING: Meaning("a callback is wanted, and there is none", DELIVERIES),
    AuditKind.DELIVERY_DOUBLED: Meaning("an outcome has several callbacks", DELIVERIES),
    AuditKind.DELIVERY_EARLY: Meaning("there is a callback and no outcome", DELIVERIES),
    AuditKind.DELIVERY_FAILED: Meaning("the callback was given up: parked or refused", DELIVERIES),
    AuditKind.DELIVERY_OVERDUE: Meaning("the callback is due for long and was not tried", DELIVERIES),
}


class AuditFinding(NamedTuple):
    """`job_id` is empty for a record that names no job."""

    kind: AuditKind
    job_id: str
    run: int
    detail: str
