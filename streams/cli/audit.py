"""`sluice audit`: account for every accepted job, once or for ever."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, validators

from streams.cli.options import COUNT, Json, duration, moment
from streams.cli.output import err, out, out_json

if TYPE_CHECKING:
    from streams.audit.auditor import Watch
    from streams.audit.report import Report
    from streams.audit.scope import Scope

Processors = Annotated[
    tuple[str, ...],
    Parameter(name="--processor", negative="", help="Only jobs of this processor; may be repeated. Default: all."),
]
Since = Annotated[datetime | None, moment("Only requests that were written since then.")]
Until = Annotated[datetime | None, moment("Only requests that were written before then.")]
Offsets = Annotated[
    tuple[str, ...],
    Parameter(
        negative="",
        metavar="TOPIC:PARTITION:FROM-TO",
        help="Only these requests, FROM and TO included; may be repeated. Default: all that the log has.",
    ),
]
Late = Annotated[
    timedelta, duration("Time that a service may take for its work, as 30s, 5m, 2h; then it is a finding.")
]
Examples = Annotated[int, Parameter(validator=COUNT, help="Number of examples of each kind of finding.")]
ReportFile = Annotated[
    tuple[Path, ...],
    Parameter(
        name="--report",
        negative="",
        help="Also write the report to this file: .html, .md or .json; may be repeated. Default: none.",
    ),
]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """The options of the audit as a service."""

    every: Annotated[
        float | None,
        Parameter(
            metavar="SECONDS",
            validator=validators.Number(gt=0),
            help="Run as a service: audit what is new every so many seconds. Default: audit once.",
        ),
    ] = None
    canary: Annotated[
        str | None,
        Parameter(
            metavar="PROCESSOR",
            help="With --every: submit one job to this processor each time, and log one that does not end. Default: none.",
        ),
    ] = None
    canary_input: Annotated[
        str, Parameter(metavar="JSON", help="With --canary: the input of its jobs. The default is one for echo.")
    ] = '{"message": "canary"}'
    canary_limit: Annotated[
        timedelta, duration("With --canary: the time in which a job has to end, as 30s, 5m, 2h.")
    ] = timedelta(seconds=30)


NO_SERVICE = ServiceOptions()


def audit(
    *,
    processor: Processors = (),
    since: Since = None,
    until: Until = None,
    offsets: Offsets = (),
    late: Late = timedelta(minutes=5),
    examples: Examples = 10,
    report: ReportFile = (),
    service: ServiceOptions = NO_SERVICE,
    json: Json = False,
) -> int:
    """Account for every accepted job: its state, its outcome, its callback.

    Reads the requests, results and outcomes of the log (in no group) and the rows
    in Postgres, and changes nothing. Says of each run where it was accepted; how
    it ended, or why it is open; whether the stored outcome is the published one;
    and what became of its callback. Exit status 8 if anything is lost, doubled,
    contradictory or overdue. Ctrl-C ends with a partial report that says so.
    The HTML and Markdown reports have lines to sign on; docs/audit.md explains all.

    With --every it is a service that audits what is new, and logs `audit_finding`.

    For example:

        sluice audit
        sluice audit --since 24h --report audit.html --report audit.json
        sluice audit --offsets requests.echo:3:1000-2000 --json
        sluice audit --every 60 --canary echo
    """
    from streams.audit.render import as_text
    from streams.audit.scope import Scope

    scope = Scope(processor, since, until, tuple(map(_span, offsets)), None, late)
    if service.every is not None or service.canary is not None:
        return _serve(scope, service, since, until, offsets, report)
    for path in report:
        _check_form(path)
    found = _audited(scope, examples)
    for path in report:
        _write(path, found)
    out_json(found) if json else out(as_text(found))
    return _status(found)


def _audited(scope: Scope, examples: int) -> Report:
    from streams.audit.once import audit as audit_once
    from streams.settings import load_settings

    with _stop_on_interrupt() as stop, _progress() as watch:
        return audit_once(load_settings(), scope, stop=stop, watch=watch, examples=examples)


def _status(report: Report) -> int:
    from schemas.errors import ExitCode

    if not report["complete"]:
        return ExitCode.INTERRUPTED
    return ExitCode.OK if report["clean"] else ExitCode.PARTIAL


def _serve(scope: Scope, service: ServiceOptions, *bounds: object) -> int:
    """Run the service. `bounds`: options that it can't have."""
    from schemas.errors import UsageError
    from streams.cli.service import Service, serve
    from streams.settings import Settings

    if service.every is None or any(bounds):
        raise UsageError(
            "--canary needs --every, which audits what is new: without times, offsets and report files.",
            next_step="Leave one of them out.",
        )
    every = service.every

    def build(settings: Settings) -> Service:
        from streams.audit.canary import Canary
        from streams.audit.service import AuditService

        jobs = None
        if service.canary is not None:
            jobs = Canary(settings, service.canary, service.canary_input, service.canary_limit.total_seconds())
        return AuditService(settings, scope, every, jobs)

    return serve("audit", build)


@contextmanager
def _stop_on_interrupt() -> Iterator[threading.Event]:
    """Yield an event that the first Ctrl-C sets; the second one raises KeyboardInterrupt."""
    stop = threading.Event()

    def interrupted(*_: object) -> None:
        signal.signal(signal.SIGINT, before)
        err("The audit ends with a partial report; Ctrl-C again ends it at once.")
        stop.set()

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _progress() -> Iterator[Watch]:
    """Show a bar for each phase on stderr if it is a terminal."""
    from streams.audit.once import NoWatch

    if not sys.stderr.isatty():
        yield NoWatch()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _Bar(bar)


class _Bar:
    """A task of a rich progress for each phase."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._task: Any = None

    def phase(self, name: str, total: int) -> None:
        self._task = self._bar.add_task(name, total=total)

    def step(self, count: int) -> None:
        self._bar.advance(self._task, count)


def _span(text: str) -> tuple[str, int, int, int]:
    """Parse TOPIC:PARTITION:FROM-TO, with both ends, as first offset and the one after the last. Raises UsageError."""
    from schemas.errors import UsageError

    topic, _, rest = text.partition(":")
    partition, _, span = rest.partition(":")
    start, _, stop = span.partition("-")
    if not topic or not all(each.isdecimal() for each in (partition, start, stop)) or int(start) > int(stop):
        raise UsageError(
            f"{text!r} names no range of offsets.",
            next_step="Write TOPIC:PARTITION:FROM-TO, as requests.echo:0:100-200.",
        )
    return topic, int(partition), int(start), int(stop) + 1


def _check_form(path: Path) -> None:
    from schemas.errors import UsageError

    if path.suffix not in (".html", ".md", ".json"):
        raise UsageError(
            f"{path} is of no kind that a report has.", next_step="Name a file that ends in .html, .md or .json."
        )


def _write(path: Path, report: Report) -> None:
    from schemas.errors import UsageError
    from streams.audit.render import as_html, as_markdown
    from streams.cli.output import json_text

    forms: dict[str, Callable[[Report], str]] = {".html": as_html, ".md": as_markdown, ".json": json_text}
    made = forms[path.suffix](report)
    try:
        path.write_text(made + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror}.", next_step="Name another file.") from error
