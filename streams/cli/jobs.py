"""`sluice jobs`: list jobs, or count them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from schemas.errors import ExitCode
from streams.cli.options import COUNT, Json, moment
from streams.cli.output import err, json_text, out, out_json, table

if TYPE_CHECKING:
    from connectors.job_store import JobFilter, JobStore
    from connectors.views import JobRow

#: Rows of one query.
_PAGE = 1_000
#: Characters of an error message in a table.
_MESSAGE = 100

State = Annotated[
    Literal["PENDING", "PROCESSING", "RETRYING", "COMPLETED", "FAILED", "CANCELLED", "EXPIRED"] | None,
    Parameter(help="Only jobs in this state. Default: all."),
]
Processor = Annotated[str | None, Parameter(help="Only jobs of this processor. Default: all.")]
Limit = Annotated[int, Parameter(name=["--limit", "-n"], validator=COUNT, help="Number of jobs to list; 0: all.")]
After = Annotated[
    str | None,
    Parameter(help="Id of the last job of a list: list the jobs that follow it. Default: from the newest on."),
]
Counts = Annotated[bool, Parameter(help="Print only the number of jobs in each state.")]
By = Annotated[
    Literal["error", "state", "processor"] | None,
    Parameter(help="Count the jobs by this, with an example of each group. Default: list them."),
]
Lines = Annotated[bool, Parameter(name="--jsonl", help="Print JSON, one job a line.")]
Csv = Annotated[bool, Parameter(help="Print CSV. A cell that a spreadsheet would run as a formula gets a ' before it.")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class MoreFilters:
    """Conditions besides state and processor."""

    error_code: Annotated[
        str | None, Parameter(name="--error", help="Only jobs with this error code. Default: any.")
    ] = None
    fingerprint: Annotated[
        str | None,
        Parameter(help="Only jobs whose error has this fingerprint, as `--by error` prints it. Default: any."),
    ] = None
    since: Annotated[datetime | None, moment("Only jobs that were requested since then.")] = None
    until: Annotated[datetime | None, moment("Only jobs that were requested before then.")] = None
    case_id: Annotated[str | None, Parameter(name="--case", help="Only jobs of this case. Default: any.")] = None
    batch_id: Annotated[str | None, Parameter(name="--batch", help="Only jobs of this batch. Default: any.")] = None
    external_id: Annotated[str | None, Parameter(help="Only jobs with this id of the backend. Default: any.")] = None
    tenant: Annotated[str | None, Parameter(help="Only jobs of this tenant. Default: any.")] = None
    model_version: Annotated[
        str | None, Parameter(help="Only jobs that ended with this version of the model. Default: any.")
    ] = None

    def with_state(self, state: str | None, processor: str | None) -> JobFilter:
        from connectors.job_store import JobFilter

        return JobFilter(state=state, processor=processor, **asdict(self))


def jobs(
    *,
    state: State = None,
    processor: Processor = None,
    filters: MoreFilters = MoreFilters(),
    limit: Limit = 20,
    after: After = None,
    by: By = None,
    counts: Counts = False,
    json: Json = False,
    jsonl: Lines = False,
    csv: Csv = False,
) -> int:
    """List jobs, newest first.

    For example:

        sluice jobs
        sluice jobs --state FAILED --processor segmentation --since -2h
        sluice jobs --by error --since "today 09:00"
        sluice jobs --error INVALID_INPUT --limit 0 --csv > failed.csv
        sluice jobs --counts
        sluice jobs --state FAILED --limit 1000 --json | jq -r '.[].job_id'
    """
    from schemas.contract import known_processors, unknown_processor
    from schemas.errors import UsageError
    from streams import wiring
    from streams.settings import load_settings

    if json + jsonl + csv > 1:
        raise UsageError("--json, --jsonl and --csv can't be combined.", next_step="Give one of them.")
    wanted = filters.with_state(state, processor)
    with wiring.job_store(load_settings()) as store:
        if counts:
            return _print_counts(store, wanted, json or jsonl)
        if by is not None:
            return _print_groups(store, wanted, by, json or jsonl)
        rows = _rows(store, wanted, limit, after)
        if jsonl or csv:
            _stream(rows, csv)
            return ExitCode.OK
        listed = list(rows)
    if not listed and processor is not None and processor not in known_processors():
        raise unknown_processor(processor)  # jobs of a processor that is no longer installed are listed
    out_json(listed) if json else _print_table(listed, limit)
    return ExitCode.OK


def _print_table(listed: list[JobRow], limit: int) -> None:
    lines = [(r.job_id, r.processor, r.state, r.attempt, r.requested_at, r.external_id, r.error_code) for r in listed]
    out(table(lines, ("JOB", "PROCESSOR", "STATE", "ATTEMPT", "REQUESTED (UTC)", "EXTERNAL ID", "ERROR")))
    if limit and len(listed) == limit:
        err(f"These are {limit}; `--after {listed[-1].job_id}` lists the next ones, --limit N more at once.")


def _rows(store: JobStore, wanted: JobFilter, limit: int, after: str | None) -> Iterator[JobRow]:
    """Yield jobs, page by page: a list of all jobs needs no more memory than one page. Raises NotFound."""
    place = None if after is None else _place(store, after)
    left = limit or None
    while left is None or left > 0:
        size = _PAGE if left is None else min(_PAGE, left)
        page = store.find(wanted, limit=size, after=place)
        yield from page
        if len(page) < size:
            return
        place = (page[-1].requested_at, page[-1].job_id)
        left = None if left is None else left - size


def _place(store: JobStore, job_id: str) -> tuple[datetime, str]:
    from schemas.errors import NotFound

    view = store.job(job_id)
    if view is None:
        raise NotFound(f"There is no job {job_id!r} to go on after.", next_step="Give the id of the last listed job.")
    return view.requested_at, view.job_id


def _stream(rows: Iterator[JobRow], as_csv: bool) -> None:
    """Print one job a line."""
    import sys

    from connectors.views import JobRow
    from streams.cli.record_output import write_row

    names = [field.name for field in fields(JobRow)]
    if as_csv:
        write_row(sys.stdout, names)
    for row in rows:
        if as_csv:
            write_row(sys.stdout, [_plain(getattr(row, name)) for name in names])
        else:
            out(json_text(row, indent=None))


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def _print_counts(store: JobStore, wanted: JobFilter, as_json: bool) -> int:
    from connectors.job_store import ANY_JOB

    groups = [] if wanted == ANY_JOB else store.groups(wanted, "state")
    found = store.counts() if wanted == ANY_JOB else {group.state or "": group.jobs for group in groups}
    out_json(found) if as_json else out(table(found.items(), ("STATE", "JOBS")))
    return ExitCode.OK


def _print_groups(store: JobStore, wanted: JobFilter, by: str, as_json: bool) -> int:
    from connectors.job_store import GROUPINGS
    from streams.explain.finding import counted

    groups = store.groups(wanted, by)
    if as_json:
        out_json(groups)
        return ExitCode.OK
    names = GROUPINGS[by]
    head = ["JOBS", *(name.replace("_", " ").upper() for name in names), "NEWEST (UTC)", "EXAMPLE"]
    rows = [[g.jobs, *(getattr(g, name) for name in names), g.newest, g.example] for g in groups]
    if by == "error":
        head.append("MESSAGE OF ONE")
        for row, group in zip(rows, groups, strict=True):
            row.append(_shortened(group.error_message or "-"))
    out(table(rows, head))
    err(f"listed: {counted(sum(group.jobs for group in groups), 'job')} in {counted(len(groups), 'group')}")
    return ExitCode.OK


def _shortened(text: str) -> str:
    line = (text.splitlines() or [""])[0]
    return line if len(line) <= _MESSAGE else f"{line[: _MESSAGE - 1]}…"
