"""A shadow run's report as one HTML file: no script, nothing is loaded from elsewhere, every value is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

from streams.shadow.cases import CaseResult, FieldSummary, ShadowCase, ShadowReport, Summary
from streams.shadow.differences import Difference
from streams.shadow.html import Markup, element, join, raw
from streams.shadow.pictures import histogram, legend, mask_picture
from streams.shadow.values import difference_text, number, percent, signed, text_of

#: Cases in the page: the worst ones, and of these so many with their fields and pictures. The JSON has all of them.
MOST_CASES, MOST_DETAILS = 2000, 200
#: Fields of one case that are shown.
MOST_FIELDS = 60
#: Of a document of patients: nothing is fetched and nothing runs, whatever a value says.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { padding: .2rem .7rem .2rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid #8884 }
td.n, th.n { text-align: right }
code { font-size: .9em; overflow-wrap: anywhere }
details { border: 1px solid #8884; border-radius: .4rem; padding: .4rem .8rem; margin: .5rem 0 }
summary { cursor: pointer }
img.mask { image-rendering: pixelated; background: #18181c; max-width: 100% }
del { background: #e69f0055; text-decoration: line-through } ins { background: #56b4e955; text-decoration: none }
.note { color: #777 } .partial { border: 2px solid #e69f00; padding: .5rem 1rem }
.swatch { display: inline-block; width: .9em; height: .9em; margin: 0 .3em 0 1em; vertical-align: -.1em }
"""


def html_of(report: ShadowReport) -> str:
    """Return the page."""
    title = f"Shadow run of {report.processor} {report.to_version}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="robots", content="noindex"),
        element("title", title),
        element("style", raw(_STYLE)),
    )
    body = element(
        "body",
        element("h1", title),
        _about(report),
        _partial(report.summary),
        element("h2", "Cases"),
        _results(report.summary),
        element("h2", "Fields, over all cases"),
        _fields(report.summary.fields),
        [_histogram(report, column) for column in report.summary.fields if column.kind == "mask"],
        element("h2", "ShadowCase by case, the worst first"),
        legend() if any(each.mask for case in report.cases for each in case.differences) else None,
        _cases(report.cases),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _about(report: ShadowReport) -> Markup:
    started = f"{report.started_at:%Y-%m-%d %H:%M} UTC by {report.started_by or 'unknown'}"
    parts = [
        ("Replay", element("code", report.replay_id)),
        ("Started", f"{started}: {report.reason}" if report.reason else started),
        ("Report of", f"{report.made_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("Tolerance", f"numbers within {report.tolerance:g} (relative) count as equal" if report.tolerance else None),
    ]
    rows = [element("tr", element("th", name), element("td", value)) for name, value in parts if value is not None]
    confidential = "This file has outputs and ids of jobs, and so data of patients. Keep it as you keep the outputs."
    return join([element("p", confidential, class_="note"), element("table", *rows)])


def _partial(summary: Summary) -> Markup | None:
    left = summary.results[CaseResult.OPEN]
    if summary.complete:
        return None
    text = f"Partial: {left} of {summary.cases} shadow runs have not ended. The figures below are of those that have."
    return element("p", text, class_="partial")


def _results(summary: Summary) -> Markup:
    rows = [(str(result), count) for result, count in summary.results.items() if count]
    ended = [(f"{before} → {after}", count) for (before, after), count in summary.states.items()]
    before, after = summary.run_ms
    times = f"Median run time: {number(before)} ms before, {number(after)} ms after." if before and after else None
    return join(
        [
            _table(("RESULT", "CASES"), rows, numbers={1}),
            _table(("ENDED", "CASES"), ended, numbers={1}) if ended else None,
            element("p", times) if times else None,
        ]
    )


def _fields(columns: Sequence[FieldSummary]) -> Markup:
    if not columns:
        return element("p", "No field was compared yet.", class_="note")
    rows = [
        (
            element("code", each.path or "(output)"),
            each.kind,
            each.compared,
            each.compared - each.equal,
            _pair(each.median_absolute, each.worst_absolute),
            _pair(each.median_relative, each.worst_relative, percent),
            _pair(each.median_similarity, each.worst_similarity),
            _pair(each.median_change_ml, each.worst_change_ml, signed),
            element("code", each.worst_job) if each.worst_job else "",
        )
        for each in columns
    ]
    heads = ("FIELD", "AS", "COMPARED", "DIFFERENT", "ABSOLUTE", "RELATIVE", "DICE OR SIMILARITY", "ML", "WORST JOB")
    note = "Differences and similarities: the median, then the worst."
    return join([_table(heads, rows, numbers={2, 3, 4, 5, 6, 7}), element("p", note, class_="note")])


def _pair(median: float | None, worst: float | None, shown: Any = number) -> str:
    return "" if median is None else f"{shown(median)} / {shown(worst)}"


def _histogram(report: ShadowReport, column: FieldSummary) -> Markup:
    values = [
        each.similarity
        for case in report.cases
        for each in case.differences
        if each.column == column.path and each.kind == column.kind and each.similarity is not None
    ]
    return join([element("h2", "Dice of ", element("code", column.path)), histogram(values)])


def _cases(cases: Sequence[ShadowCase]) -> Markup:
    shown = [case for case in cases if case.result is not CaseResult.EQUAL][:MOST_CASES]
    equal = sum(case.result is CaseResult.EQUAL for case in cases)
    left = len(cases) - len(shown) - equal
    notes = [
        f"{equal} equal cases are left out." if equal else "",
        f"{left} more cases are in the JSON." if left else "",
    ]
    parts = [_case(case, n < MOST_DETAILS) for n, case in enumerate(shown)]
    return join([*parts, element("p", " ".join(filter(None, notes)), class_="note")])


def _case(case: ShadowCase, detailed: bool) -> Markup:
    pair, differing = case.pair, case.differing
    head = [element("code", pair.job_id), f" run {pair.from_run} → {'–' if pair.run is None else pair.run}"]
    head += [f", case {pair.case_id}" if pair.case_id else "", f": {case.result}", _headline(case)]
    if not detailed or not differing:
        return element("p", *head)
    fields = [_field_row(each) for each in differing[:MOST_FIELDS]]
    more = len(differing) - len(fields)
    return element(
        "details",
        element("summary", *head),
        [mask_picture(each.path, each.mask) for each in differing if each.mask is not None],
        _table(("FIELD", "AS", "BEFORE", "AFTER", "DIFFERENCE"), fields),
        element("p", f"{more} more fields differ; they are in the JSON.", class_="note") if more else None,
    )


def _headline(case: ShadowCase) -> str:
    before, after = case.pair.before, case.pair.after
    if case.result is CaseResult.ENDED_DIFFERENTLY and before is not None and after is not None:
        return f" ({before.shown} → {after.shown})"
    if case.reason:
        return f" ({case.reason})"
    worst = case.differing[:1]
    return "".join(f" ({each.path or 'output'}: {difference_text(each)})" for each in worst)


def _field_row(each: Difference) -> tuple[object, ...]:
    before, after = _values(each)
    return element("code", each.path or "(output)"), each.kind, before, after, difference_text(each)


def _values(each: Difference) -> tuple[object, object]:
    if each.kind == "text" and isinstance(each.before, str) and isinstance(each.after, str):
        return _marked(each.before, each.after)
    if each.mask is not None:
        return f"{number(each.mask.before_ml)} ml", f"{number(each.mask.after_ml)} ml"
    return text_of(each.before), text_of(each.after)


def _marked(before: str, after: str) -> tuple[Markup, Markup]:
    """Return both texts with their words marked that the other does not have."""
    one, other = before.split(), after.split()
    left: list[object] = []
    right: list[object] = []
    for kind, start, stop, begin, end in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        left += [element("del", " ".join(one[start:stop])) if kind != "equal" else " ".join(one[start:stop]), " "]
        right += [element("ins", " ".join(other[begin:end])) if kind != "equal" else " ".join(other[begin:end]), " "]
    return join(left), join(right)


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]], numbers: set[int] | None = None) -> Markup:
    classes = ["n" if n in (numbers or ()) else None for n in range(len(heads))]
    head = element("tr", [element("th", name, class_=kind) for name, kind in zip(heads, classes, strict=True)])
    body = [
        element("tr", [element("td", cell, class_=kind) for cell, kind in zip(row, classes, strict=True)])
        for row in rows
    ]
    return element("table", head, *body)
