"""The columns of a report, in Jepsen's words, and the check that fills each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tests.harness.checker import deliveries, jobs
from tests.harness.checker.evidence import Evidence

#: For each column its check and its meaning.
COLUMNS: Mapping[str, tuple[Callable[[Evidence], Iterator[str]], str]] = {
    "lost": (jobs.lost, "accepted, and nowhere to be found"),
    "doubled": (jobs.doubled, "more than one outcome of a run, or executed more often than faults explain"),
    "divergent": (jobs.divergent, "two places disagree about an outcome, or it is not the known answer"),
    "stuck": (jobs.stuck, "known, and without an end when all was quiet"),
    "phantom": (jobs.phantom, "has an outcome or a callback, and was never submitted"),
    "non-monotonic": (jobs.non_monotonic, "a run went back, or left its end again"),
    "unseen": (jobs.unseen, "decided but not published, or passed over by the sink"),
    "unordered": (jobs.unordered, "a job of a key began before the one ahead of it had ended"),
    "missing": (deliveries.missing, "a callback that never reached its receiver"),
    "doubled beyond the promise": (
        deliveries.doubled,
        "a callback that was accepted again without a fault to excuse it",
    ),
    "after-terminal": (deliveries.after_terminal, "a callback that contradicts the final one"),
    "out of order": (deliveries.out_of_order, "a callback of an earlier run after that of a later one"),
}


@dataclass(frozen=True, slots=True)
class Findings:
    """The breaks that were found, by column."""

    found: Mapping[str, tuple[str, ...]]

    @property
    def clean(self) -> bool:
        return not any(self.found.values())

    def counts(self) -> dict[str, int]:
        return {column: len(found) for column, found in self.found.items()}

    def __str__(self) -> str:
        lines = [f"  {column}: {text}" for column, found in self.found.items() for text in found[:20]]
        return "\n".join(lines) or "  nothing was broken"


def check(evidence: Evidence) -> Findings:
    return Findings({column: tuple(checks(evidence)) for column, (checks, _) in COLUMNS.items()})
