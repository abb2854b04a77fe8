"""The report of an audit, as data: its canonical JSON is what a signature refers to.

`sha256` is that of the canonical JSON of everything else: keys sorted, no spaces, UTF-8. To check it without this program:

    jq -cSj 'del(.sha256)' report.json | sha256sum
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from streams.audit.auditor import Auditor
from streams.audit.kinds import MEANINGS, AuditKind
from streams.audit.log_ranges import Part, Span
from streams.audit.scope import Scope
from streams.audit.tally import Tally

Report = dict[str, Any]


def canonical(report: Mapping[str, Any]) -> bytes:
    """Return the bytes that the hash is made of."""
    signed = {name: value for name, value in report.items() if name != "sha256"}
    return json.dumps(signed, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def make_report(auditor: Auditor, scope: Scope, tally: Tally, begun: datetime, interrupted: str | None) -> Report:
    """Return the report. `interrupted`: why it is partial, None if it is complete."""
    counts = auditor.evidence.counts
    known = len(auditor.evidence.runs)
    report: Report = {
        "kind": "sluice audit",
        "complete": interrupted is None,
        "partial_because": interrupted,
        "clean": interrupted is None and not tally.findings,
        "scope": _scope(auditor, scope, begun),
        "jobs": {"examined": len(tally.jobs), "completed in a later run": tally.completed_later},
        "records": {
            "first requests of runs": counts.first,
            "further attempts": counts.further_attempts,
            "repeated requests": counts.repeated,
            "requests of other tenants": counts.other_tenants,
            "records without a job": counts.unreadable,
        },
        "runs": {
            "accepted": _sorted(tally.sources) | _rest(known, tally),
            "state": _sorted(tally.states) | _rest(known, tally),
            "outcome": _sorted(tally.publications),
            "callback": _sorted(tally.deliveries),
            "superseded results": tally.superseded,
        },
        "findings": [_finding(kind, tally) for kind in AuditKind if kind in tally.findings],
    }
    return report | {"sha256": hashlib.sha256(canonical(report)).hexdigest()}


def _rest(known: int, tally: Tally) -> dict[str, int]:
    return {"not examined": known - tally.examined} if known > tally.examined else {}


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return {str(name): count for name, count in sorted(counts.items())}


def _scope(auditor: Auditor, scope: Scope, begun: datetime) -> dict[str, Any]:
    at = auditor.situation
    return {
        "sluice": version("sluice"),
        "cluster": auditor.topics.cluster_id,
        "database": "" if at is None else at.state.database,
        "begun_at": _time(begun),
        "store_read_at": None if at is None else _time(at.state.now),
        "ended_at": _time(datetime.now(UTC)),
        "requests_since": None if scope.since is None else _time(scope.since),
        "requests_until": None if scope.until is None else _time(scope.until),
        "processors": sorted(scope.processors),
        "tenant": scope.tenant,
        "late_after_s": int(scope.late.total_seconds()),
        "offsets": _offsets(auditor.ranges),
    }


def _offsets(ranges: Mapping[Part, Span]) -> list[dict[str, Any]]:
    return [
        {"topic": topic, "partition": partition, "from": start, "to": stop}
        for (topic, partition), (start, stop) in sorted(ranges.items())
    ]


def _finding(kind: AuditKind, tally: Tally) -> dict[str, Any]:
    meaning = MEANINGS[kind]
    examples = [{"job_id": one.job_id, "run": one.run, "detail": one.detail} for one in tally.examples[kind]]
    return {
        "kind": kind.value,
        "meaning": meaning.text,
        "count": tally.findings[kind],
        "examples": examples,
        "next": meaning.next_command.format(job_id=examples[0]["job_id"] if examples else "ID"),
    }


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
