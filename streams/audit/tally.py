"""Counts assessments as the tables of a report. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from schemas.states import State
from streams.audit.assess import Assessment
from streams.audit.deliveries import SHADOW
from streams.audit.kinds import AuditFinding, AuditKind

#: Examples of each kind of finding that a report names.
EXAMPLES = 10


@dataclass(slots=True)
class Tally:
    """`examined` is the sum of `sources` and of `states`; the number of ended runs that of `publications` and `deliveries`.
    `jobs`: ids. `failed`: the first run of a job that did not complete; `completed`: the last one that did.
    """

    examined: int = 0
    jobs: set[bytes] = field(default_factory=set)
    failed: dict[bytes, int] = field(default_factory=dict)
    completed: dict[bytes, int] = field(default_factory=dict)
    superseded: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    publications: Counter[str] = field(default_factory=Counter)
    deliveries: Counter[str] = field(default_factory=Counter)
    findings: Counter[AuditKind] = field(default_factory=Counter)
    examples: dict[AuditKind, list[AuditFinding]] = field(default_factory=dict)
    most_examples: int = EXAMPLES

    def add(self, one: Assessment) -> None:
        self.examined += 1
        self.superseded += one.superseded
        self.sources[one.source] += 1
        self.states[one.state] += 1
        self._note_job(one)
        if one.publication:
            self.publications[one.publication] += 1
            self.deliveries[one.delivery] += 1
        self.note(one.findings)

    @property
    def completed_later(self) -> int:
        """Number of jobs of which a run failed, and a later one completed."""
        return sum(self.completed.get(job, -1) > run for job, run in self.failed.items())

    def _note_job(self, one: Assessment) -> None:
        job, run = one.key
        self.jobs.add(job)
        if one.delivery == SHADOW or not one.publication:
            return
        if one.state != State.COMPLETED:
            self.failed[job] = min(run, self.failed.get(job, run))
        elif run > 0:
            self.completed[job] = max(run, self.completed.get(job, run))

    def note(self, findings: Iterable[AuditFinding]) -> None:
        """Count findings, also those of no run."""
        for finding in findings:
            self.findings[finding.kind] += 1
            kept = self.examples.setdefault(finding.kind, [])
            if len(kept) < self.most_examples:
                kept.append(finding)
