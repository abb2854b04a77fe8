"""A shadow run's report for the terminal: a summary, and a line per case."""

from __future__ import annotations

from collections.abc import Iterator

from streams.shadow.cases import CaseResult, ShadowCase, ShadowReport
from streams.shadow.values import difference_text, number, percent, signed

#: Differing fields that a case's line names.
MOST_NAMED = 3

HEADS = ("JOB", "CASE", "RESULT", "DIFFERENCES")
FIELD_HEADS = ("FIELD", "AS", "COMPARED", "DIFFERENT", "MEDIAN", "WORST", "WORST JOB")


def summary_lines(report: ShadowReport) -> Iterator[str]:
    summary = report.summary
    counts = ", ".join(f"{count} {result}" for result, count in summary.results.items() if count) or "no cases"
    yield f"shadow run of {report.processor} {report.to_version}: {summary.cases} cases: {counts}"
    for (before, after), count in summary.states.items():
        if before != after:
            yield f"{count} ended {before} before, {after} after"
    before_ms, after_ms = summary.run_ms
    if before_ms is not None and after_ms is not None:
        yield f"median run time: {number(before_ms)} ms before, {number(after_ms)} ms after"


def partial_line(report: ShadowReport) -> str | None:
    """Return what to say of a report that is not complete; None if it is."""
    left = report.summary.results[CaseResult.OPEN]
    return f"Partial: {left} of {report.summary.cases} shadow runs have not ended." if left else None


def field_rows(report: ShadowReport) -> Iterator[tuple[object, ...]]:
    for each in report.summary.fields:
        if each.median_similarity is not None:
            kind = "Dice" if each.kind == "mask" else each.kind
            median, worst = number(each.median_similarity), number(each.worst_similarity)
            if each.worst_change_ml is not None:
                median += f" {signed(each.median_change_ml)} ml"
                worst += f" {signed(each.worst_change_ml)} ml"
        elif each.median_absolute is not None:
            kind, median, worst = each.kind, number(each.median_absolute), number(each.worst_absolute)
            if each.worst_relative is not None:
                median, worst = (
                    f"{median} ({percent(each.median_relative)})",
                    f"{worst} ({percent(each.worst_relative)})",
                )
        else:
            kind, median, worst = each.kind, "-", "-"
        different = each.compared - each.equal
        yield each.path or "(output)", kind, each.compared, different, median, worst, each.worst_job


def case_rows(report: ShadowReport) -> Iterator[tuple[object, ...]]:
    for case in report.cases:
        yield case.pair.job_id, case.pair.case_id, str(case.result), case_text(case)


def case_text(case: ShadowCase) -> str:
    """Say how a case differs. A mask is always named: that its Dice is 1 is a result, too."""
    before, after = case.pair.before, case.pair.after
    if case.result is CaseResult.ENDED_DIFFERENTLY and before is not None and after is not None:
        return f"{before.shown} → {after.shown}"
    if case.reason:
        return case.reason
    masks = [each for each in case.differences if each.mask is not None]
    others = [each for each in case.differing if each.mask is None]
    named = [*masks, *others[:MOST_NAMED]]
    more = [f"{len(others) - MOST_NAMED} more"] if len(others) > MOST_NAMED else []
    return "; ".join([*(f"{each.path or 'output'} {difference_text(each)}" for each in named), *more]) or "-"
