"""A report as text, as Markdown and as a page of HTML that needs nothing else; the last two have lines to sign on. Pure."""

from __future__ import annotations

from html import escape
from typing import Any, NamedTuple

from streams.audit.report import Report

TITLE = "Audit of accepted jobs"
_HEADINGS = {
    "accepted": "Runs by where they were accepted",
    "state": "The same runs by state",
    "outcome": "Ended runs by their published outcome",
    "callback": "The same runs by their callback",
}
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; } th, td { padding: .2rem .9rem .2rem 0; text-align: left; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; } tr.sum { border-top: 1px solid; font-weight: 600; }
.bad { color: #a40000; } .good { color: #0a6b2d; } code { font-size: .9em; word-break: break-all; }
.sign td { border-bottom: 1px solid; width: 16rem; height: 2.6rem; vertical-align: bottom; } .sign th { width: 8rem; }
@media print { body { margin: 0; } }
"""


class Table(NamedTuple):
    """`rows`: a name and a count each; their sum is `total`."""

    heading: str
    rows: list[tuple[str, int]]
    total: int


def headline(report: Report) -> str:
    """Return the result in a sentence."""
    if not report["complete"]:
        return f"PARTIAL: {report['partial_because']}; what follows holds for what was read until then"
    count = sum(one["count"] for one in report["findings"])
    return "CLEAN: nothing is lost, doubled or stuck" if not count else f"{count} FINDINGS"


def tables(report: Report) -> list[Table]:
    """Return the tables of counts. The totals of the second and third are equal, as are those of the last two."""
    counts: list[tuple[str, dict[str, int]]] = [("Records of the requests topics", report["records"])]
    counts += [(heading, report["runs"][name]) for name, heading in _HEADINGS.items()]
    return [Table(heading, list(each.items()), sum(each.values())) for heading, each in counts]


def facts(report: Report) -> list[tuple[str, str]]:
    """Return what the report is about, line by line."""
    scope = report["scope"]
    since, until = (
        scope["requests_since"] or "the beginning of the log",
        scope["requests_until"] or "the end of the log",
    )
    lines = [
        ("Requests", f"from {since} to {until}"),
        ("Processors", ", ".join(scope["processors"]) or "all"),
        ("Kafka cluster", scope["cluster"]),
        ("Database", f"{scope['database']}, read at {scope['store_read_at']}"),
        ("Audit", f"{scope['begun_at']} to {scope['ended_at']}, by sluice {scope['sluice']}"),
        ("Late", f"is what a service has not done after {scope['late_after_s']} s"),
        ("Jobs", f"{report['jobs']['examined']} in {sum(report['runs']['state'].values())} runs{_later(report)}"),
        *_without_a_job(report),
        ("Superseded results", f"{report['runs']['superseded results']} (executions beyond the one that counts)"),
        ("SHA-256 of the canonical JSON", report["sha256"]),
    ]
    return lines if scope["tenant"] is None else [("Tenant", scope["tenant"]), *lines]


def _later(report: Report) -> str:
    """Say how many jobs failed at first: their failed runs are in the tables for ever."""
    count = report["jobs"]["completed in a later run"]
    return f"; {count} of them failed first and completed in a later run" if count else ""


def _without_a_job(report: Report) -> list[tuple[str, str]]:
    count = report["records"]["records without a job"]
    where = "a worker makes each a dead letter, and `sluice dlq list` says which are open"
    return [("Records without a job", f"{count}: {where}")] if count else []


def as_text(report: Report) -> str:
    lines = [headline(report), ""]
    lines += [f"{name}: {text}" for name, text in facts(report)]
    lines += [f"offsets (first, and the one after the last): {text}" for text in _offset_lines(report)]
    for table in tables(report):
        width = max((len(name) for name, _ in table.rows), default=0)
        lines += ["", table.heading]
        lines += [f"  {name:<{width}}  {count:>10}" for name, count in table.rows]
        lines += [f"  {'in all':<{width}}  {table.total:>10}"]
    for one in report["findings"]:
        lines += ["", f"{one['count']} × {one['kind']}: {one['meaning']}"]
        lines += [f"  {_example(each)}" for each in one["examples"]]
        lines += [f"  look further: {one['next']}"]
    return "\n".join(lines)


def as_markdown(report: Report) -> str:
    lines = [f"# {TITLE}", "", f"**{headline(report)}**", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {_cell(text)} |" for name, text in facts(report)]
    lines += ["", "Offsets of requests (first, and the one after the last):", ""]
    lines += [f"- `{text}`" for text in _offset_lines(report)]
    for table in tables(report):
        lines += [
            "",
            f"## {table.heading}",
            "",
            "| | runs |" if "uns" in table.heading else "| | records |",
            "|---|--:|",
        ]
        lines += [f"| {name} | {count} |" for name, count in table.rows]
        lines += [f"| **in all** | **{table.total}** |"]
    lines += ["", "## Findings", ""]
    lines += [] if report["findings"] else ["None."]
    for one in report["findings"]:
        lines += [f"- **{one['count']} × {one['kind']}**: {one['meaning']}. Look further: `{one['next']}`"]
        lines += [f"  - `{_example(each)}`" for each in one["examples"]]
    lines += ["", "## Signed", "", "| | |", "|---|---|"]
    lines += [f"| {name} | ______________________________ |" for name in ("Name", "Date", "Signature")]
    return "\n".join(lines)


def as_html(report: Report) -> str:
    good = "good" if report["clean"] else "bad"
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{TITLE}</title><style>{_STYLE}</style></head>',
        f'<body><h1>{TITLE}</h1><p class="{good}"><strong>{escape(headline(report))}</strong></p><table>',
        *(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in facts(report)),
        "</table><details><summary>Offsets of requests (first, and the one after the last)</summary><ul>",
        *(f"<li><code>{escape(text)}</code></li>" for text in _offset_lines(report)),
        "</ul></details>",
    ]
    for table in tables(report):
        parts += [f"<h2>{escape(table.heading)}</h2><table>"]
        parts += [f'<tr><td>{escape(name)}</td><td class="n">{count}</td></tr>' for name, count in table.rows]
        parts += [f'<tr class="sum"><td>in all</td><td class="n">{table.total}</td></tr></table>']
    parts += ["<h2>Findings</h2>", "" if report["findings"] else "<p>None.</p>"]
    for one in report["findings"]:
        parts += [f'<p class="bad"><strong>{one["count"]} × {one["kind"]}</strong>: {escape(one["meaning"])}.<br>']
        parts += [f"Look further: <code>{escape(one['next'])}</code></p><ul>"]
        parts += [f"<li><code>{escape(_example(each))}</code></li>" for each in one["examples"]]
        parts += ["</ul>"]
    rows = "".join(f"<tr><th>{name}</th><td></td></tr>" for name in ("Name", "Date", "Signature"))
    return "\n".join([*parts, f'<h2>Signed</h2><table class="sign">{rows}</table></body></html>'])


def _offset_lines(report: Report) -> list[str]:
    by_topic: dict[str, list[dict[str, Any]]] = {}
    for one in report["scope"]["offsets"]:
        by_topic.setdefault(one["topic"], []).append(one)
    return [
        f"{topic}: " + " ".join(f"{one['partition']}:{one['from']}-{one['to']}" for one in parts)
        for topic, parts in by_topic.items()
    ]


def _example(one: dict[str, Any]) -> str:
    return f"{one['job_id']} run {one['run']}: {one['detail']}" if one["job_id"] else str(one["detail"])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
