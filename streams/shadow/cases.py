"""The cases of a shadow run: for each job, the run that counts beside the shadow run, and how they differ. Pure."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from connectors.replay_store import FAILED, PARKED
from connectors.shadow_store import ShadowPair
from schemas.states import State
from streams.shadow.differences import Comparer, Difference


class CaseResult(StrEnum):
    """How a case ended, the worst first."""

    ENDED_DIFFERENTLY = "ended differently"
    DIFFERENT = "different"
    NOT_COMPARED = "not compared"
    OPEN = "open"
    EQUAL = "equal"


_ORDER = {result: n for n, result in enumerate(CaseResult)}


@dataclass(frozen=True, slots=True)
class ShadowCase:
    """`differences`: of every field, also of equal ones; none unless both runs have completed."""

    pair: ShadowPair
    result: CaseResult
    differences: tuple[Difference, ...] = ()
    reason: str = ""

    @property
    def differing(self) -> list[Difference]:
        """The fields that differ, the worst first."""
        return sorted((each for each in self.differences if not each.equal), key=lambda each: -each.badness)

    @property
    def rank(self) -> tuple[int, float, int]:
        """Sorts the worst case first."""
        return _ORDER[self.result], -max((each.badness for each in self.differences), default=0.0), self.pair.n


@dataclass(frozen=True, slots=True)
class FieldSummary:
    """A field over all cases in which it was compared; the fields of a table's rows are one. `worst_*`: the largest difference,
    or the lowest similarity; `worst_job`: where. `medians` are over all values, of equal ones too."""

    path: str
    kind: str
    compared: int
    equal: int
    median_absolute: float | None
    worst_absolute: float | None
    median_relative: float | None
    worst_relative: float | None
    median_similarity: float | None
    worst_similarity: float | None
    median_change_ml: float | None
    worst_change_ml: float | None
    worst_job: str | None


@dataclass(frozen=True, slots=True)
class Summary:
    """`states`: how many cases ended in a state before and in one after. `run_ms`: medians before and after."""

    cases: int
    results: dict[CaseResult, int]
    states: dict[tuple[str, str], int]
    run_ms: tuple[float | None, float | None]
    fields: tuple[FieldSummary, ...]

    @property
    def complete(self) -> bool:
        return not self.results[CaseResult.OPEN]


@dataclass(frozen=True, slots=True)
class ShadowReport:
    """`cases`: the worst first. `tolerance`: relative differences of numbers up to it counted as equal."""

    replay_id: str
    processor: str
    to_version: str
    reason: str
    started_by: str
    started_at: datetime
    made_at: datetime
    tolerance: float
    summary: Summary
    cases: tuple[ShadowCase, ...]


def compare_case(pair: ShadowPair, comparer: Comparer) -> ShadowCase:
    """Compare the two runs of a job. Raises ConnectionFailed if the object store does not answer."""
    before, after = pair.before, pair.after
    if after is None:
        if pair.state in (PARKED, FAILED):
            return ShadowCase(pair, CaseResult.NOT_COMPARED, reason=pair.reason or f"its row is {pair.state}")
        return ShadowCase(pair, CaseResult.OPEN)
    if before is None:
        return ShadowCase(pair, CaseResult.NOT_COMPARED, reason="the job has no outcome to compare with")
    if (before.state, before.error_code) != (after.state, after.error_code):
        return ShadowCase(pair, CaseResult.ENDED_DIFFERENTLY)
    if before.state != State.COMPLETED:
        return ShadowCase(pair, CaseResult.EQUAL)
    if before.output is None or after.output is None:
        return ShadowCase(pair, CaseResult.NOT_COMPARED, reason="its outputs were erased")
    found = (*comparer.compare(before.output, after.output), *_other_files(pair, comparer))
    equal = all(each.equal for each in found)
    return ShadowCase(pair, CaseResult.EQUAL if equal else CaseResult.DIFFERENT, found)


def _other_files(pair: ShadowPair, comparer: Comparer) -> Iterable[Difference]:
    """Compare the files that the runs saved but that their outputs do not name."""
    assert pair.before is not None
    assert pair.after is not None
    before, after = (
        [ref for ref in ending.refs if ref["sha256"] not in str(ending.output)] for ending in (pair.before, pair.after)
    )
    return comparer.compare(before, after, "files") if before or after else ()


def summarize(cases: Sequence[ShadowCase]) -> Summary:
    counted = Counter(case.result for case in cases)
    ended = [(case.pair.before, case.pair.after) for case in cases]
    states = Counter((one.shown, other.shown) for one, other in ended if one is not None and other is not None)
    times = [(one.run_ms, other.run_ms) for one, other in ended if one is not None and other is not None]
    by_column: dict[tuple[str, str], list[tuple[str, Difference]]] = defaultdict(list)
    for case in cases:
        for each in case.differences:
            by_column[each.column, each.kind].append((case.pair.job_id, each))
    return Summary(
        len(cases),
        {result: counted[result] for result in CaseResult},
        dict(states.most_common()),
        (_median(before for before, _ in times), _median(after for _, after in times)),
        tuple(_field(*column, found) for column, found in by_column.items()),
    )


def _field(path: str, kind: str, found: Sequence[tuple[str, Difference]]) -> FieldSummary:
    each = [difference for _, difference in found]
    changes = [one.mask.change_ml for one in each if one.mask is not None]
    absolute, relative = [one.absolute for one in each], [one.relative for one in each]
    similarity = [one.similarity for one in each]
    worst_job, worst = max(found, key=lambda one: one[1].badness)
    return FieldSummary(
        path,
        kind,
        len(each),
        sum(one.equal for one in each),
        _median(absolute),
        max(_known(absolute), default=None),
        _median(relative),
        max(_known(relative), default=None),
        _median(similarity),
        min(_known(similarity), default=None),
        _median(changes),
        max(_known(changes), key=abs, default=None),
        None if worst.equal else worst_job,
    )


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _median(values: Iterable[float | None]) -> float | None:
    known = _known(values)
    return statistics.median(known) if known else None
