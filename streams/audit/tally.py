"""Counts assessments as the tables of a report. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from streams.audit.assess import Assessment
from streams.audit.kinds import AuditFinding, AuditKind

#: Examples of each kind of finding that a report names.
EXAMPLES = 10


@dataclass(slots=True)
class Tally:
    """`examined` is the sum of `sources` and of `states`; the number of ended runs that of `publications` and `deliveries`."""

    examined: int = 0
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
        if one.publication:
            self.publications[one.publication] += 1
            self.deliveries[one.delivery] += 1
        self.note(one.findings)

    def note(self, findings: Iterable[AuditFinding]) -> None:
        """Count findings, also those of no run."""
        for finding in findings:
            self.findings[finding.kind] += 1
            kept = self.examples.setdefault(finding.kind, [])
            if len(kept) < self.most_examples:
                kept.append(finding)
