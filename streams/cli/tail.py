"""`sluice tail`: print a topic's records."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

from cyclopts import Parameter

from schemas.errors import ExitCode
from streams.cli.options import COUNT, moment
from streams.cli.output import err
from streams.cli.record_output import Write, csv_writer, json_writer, open_output, text_writer
from streams.cli.scan_progress import ScanProgress
from streams.cli.topic_names import opened, topic_of

if TYPE_CHECKING:
    from streams.admin.log_range import Span
    from streams.admin.record_filter import RecordFilter
    from streams.admin.scan import Scan
    from streams.admin.tail import TopicReader

#: Records that are printed if neither a range nor a filter is given.
NEWEST = 10

What = Annotated[str, Parameter(help="Name of a processor (shows its results), or of a topic.")]
Requests = Annotated[bool, Parameter(help="Show the processor's live requests.")]
Bulk = Annotated[bool, Parameter(help="Show the processor's bulk requests.")]
Results = Annotated[bool, Parameter(help="Show the processor's results, one per attempt. This is the default.")]
Outcomes = Annotated[bool, Parameter(help="Show the processor's outcomes, one per run of a job.")]
DeadLetters = Annotated[
    bool,
    Parameter(help="Show the dead letters of all processors: records that could not be processed, with the error."),
]
Follow = Annotated[bool, Parameter(name=["-f", "--follow"], help="Keep printing new records until Ctrl-C.")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Selection:
    """The records that are read, and those of them that are printed."""

    from_beginning: Annotated[bool, Parameter(help="Read every record that the topic still has.")] = False
    since: Annotated[datetime | None, moment("Only records from this time on.", name="--from")] = None
    until: Annotated[datetime | None, moment("Only records before this time.", name="--to")] = None
    partition: Annotated[int | None, Parameter(validator=COUNT, help="Only this partition. Default: all.")] = None
    offset: Annotated[
        str | None,
        Parameter(
            help="With --partition: one offset, or a range with both ends: 100..200, 100.. or ..200. Default: all."
        ),
    ] = None
    header: Annotated[
        tuple[str, ...],
        Parameter(help="NAME=VALUE, or NAME alone: only records with this Kafka header; repeatable. Default: any."),
    ] = ()
    key: Annotated[
        str | None, Parameter(help="Only records with this key. Default: any.", allow_leading_hyphen=True)
    ] = None
    job: Annotated[
        str | None,
        Parameter(help="Only records of this job in that topic: results, unless a kind is named. Default: any."),
    ] = None
    where: Annotated[
        str | None,
        Parameter(
            help="Only records for which this JMESPath expression is true, over topic, partition, offset, at, key, headers, "
            "size and value: value.header.tenant == 'a'. Default: any.",
            allow_leading_hyphen=True,
        ),
    ] = None
    last: Annotated[
        int | None,
        Parameter(
            name=["-n", "--last"],
            validator=COUNT,
            help="Print the newest N. Default: 10, or all that a range or a filter selects.",
        ),
    ] = None
    max_: Annotated[
        int | None, Parameter(name="--max", validator=COUNT, help="End after N printed records. Default: no limit.")
    ] = None
    timeout: Annotated[
        float | None, Parameter(help="End after so many seconds; then exit status 124. Default: no limit.")
    ] = None

    def span(self) -> Span:
        """Raises UsageError."""
        from streams.admin.log_range import Span

        first, last = offsets(self.offset)
        return Span(self.since, self.until, self.partition, first, last)

    def filter(self) -> RecordFilter:
        """Raises UsageError."""
        from schemas.errors import UsageError
        from schemas.ids import is_job_id
        from streams.admin.record_filter import RecordFilter

        if self.job is not None and not is_job_id(self.job):
            raise UsageError(f"{self.job!r} is not a job id.", next_step="`sluice jobs` lists jobs with their ids.")
        headers = [(name, value if equals else None) for name, equals, value in (h.partition("=") for h in self.header)]
        return RecordFilter(headers, self.key, self.job, self.since, self.until, self.where)

    @property
    def scans(self) -> bool:
        """True if everything in a range is read, so that the end says whether that is complete."""
        ranged = self.from_beginning or self.since or self.until or self.offset is not None
        return bool(ranged or self.filter().selects)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Form:
    """The form in which records are printed."""

    jsonl: Annotated[bool, Parameter(name=["--jsonl", "--json"], help="Print JSON, one record a line, complete.")] = (
        False
    )
    csv: Annotated[
        bool, Parameter(help="Print CSV. A cell that a spreadsheet would run as a formula gets a ' before it.")
    ] = False
    column: Annotated[
        tuple[str, ...],
        Parameter(
            help="With --csv: a column, as a JMESPath expression, with a name before it if you like: "
            "job=value.header.job_id; repeatable. Default: topic, partition, offset, at, key, value."
        ),
    ] = ()
    output: Annotated[Path | None, Parameter(help="Write to this file. Default: the terminal.")] = None

    def writer(self, stream: TextIO) -> Write:
        """Raises UsageError."""
        from schemas.errors import UsageError

        if self.csv and self.jsonl:
            raise UsageError("--csv and --jsonl can't be combined.", next_step="Give one of them.")
        if self.column and not self.csv:
            raise UsageError("--column needs --csv.", next_step="Add `--csv`.")
        if self.csv:
            return csv_writer(stream, self.column)
        return json_writer(stream) if self.jsonl else text_writer(stream)


def tail(
    what: What,
    /,
    *,
    requests: Requests = False,
    bulk: Bulk = False,
    results: Results = False,
    outcomes: Outcomes = False,
    dead_letters: DeadLetters = False,
    selection: Selection = Selection(),
    follow: Follow = False,
    form: Form = Form(),
) -> int:
    """Print the decoded records of a topic.

    Each record is shown with partition, offset, time and key. No offset is
    committed, so this disturbs no consumer. Inputs and outputs are printed in
    full, including any personal data in them. With a range or a filter the end
    says whether everything was read, and if not, why: exit status 8 if records of
    the range have left the log, 124 after --timeout, 130 after Ctrl-C.

    For example:

        sluice tail echo                      # the last ten results
        sluice tail echo --outcomes -f        # outcomes as they arrive
        sluice tail echo --from -15m --to now
        sluice tail echo --partition 3 --offset 100..200
        sluice tail echo --requests --job 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10
        sluice tail dead-letters --from "today 09:00" \\
            --header sluice-dl-reason=UNDECODABLE
        sluice tail echo --where "value.result.timings.run_ms > \\`500\\`" --csv \\
            --column job=value.header.job_id --output slow.csv
        sluice tail progress -f --jsonl | jq .value.stage
    """
    from streams.settings import load_settings

    settings = load_settings()
    chosen = {
        "requests": requests,
        "bulk": bulk,
        "results": results,
        "outcomes": outcomes,
        "dead-letters": dead_letters,
    }
    topic = topic_of(settings, what, [kind for kind, wanted in chosen.items() if wanted])
    with (
        opened(settings, what, topic, selection.filter(), selection.span()) as reader,
        open_output(form.output) as stream,
    ):
        return _run(reader, selection, form.writer(stream), follow)


def _run(reader: TopicReader, selection: Selection, write: Write, follow: bool) -> int:
    from streams.admin.scan import Scan

    scan = Scan(reader.range.total, selection.max_, selection.timeout)
    try:
        if selection.scans:
            _scan(reader, scan, selection.last, write)
        else:
            for record in reader.last(NEWEST if selection.last is None else selection.last):
                write(record)
        if follow and not scan.stop_at_limit():
            for record in reader.follow(threading.Event(), scan):
                write(record)
            return ExitCode.WAIT_TIMED_OUT if scan.timed_out else ExitCode.OK
    except KeyboardInterrupt:
        if selection.scans and scan.read < scan.total:
            scan.partial = f"Ctrl-C after {scan.read:,} of {scan.total:,} records"
            _report(reader, scan)
            raise  # the file is not complete
        return ExitCode.INTERRUPTED
    return _status(scan) if selection.scans else ExitCode.OK


def _scan(reader: TopicReader, scan: Scan, last: int | None, write: Write) -> None:
    """Read the whole range, with progress, and say at the end whether it is complete."""
    with ScanProgress(scan.total) as progress:
        for record in reader.last(last, scan, progress.show) if last is not None else reader.scan(scan, progress.show):
            progress.clear()
            write(record)
    _report(reader, scan)


def _report(reader: TopicReader, scan: Scan) -> None:
    """Say what the scan found and whether it is complete, on stderr."""
    found = f"{scan.matched:,} of {scan.read:,} records in {scan.seconds:.1f} s ({scan.rate:,.0f} a second)"
    err(f"complete: {found}" if scan.partial is None else f"partial: {scan.partial}; {found}")
    expression = reader.matcher.expression
    if expression is not None and expression.failed:
        err(f"--where could not be evaluated on {expression.failed:,} records, first: {expression.failure}")


def _status(scan: Scan) -> int:
    if scan.timed_out:
        return ExitCode.WAIT_TIMED_OUT
    return ExitCode.PARTIAL if scan.partial is not None and scan.partial.startswith("retention") else ExitCode.OK


def offsets(text: str | None) -> tuple[int | None, int | None]:
    """Return the first and the last offset that a range names; None: no limit. Raises UsageError."""
    from schemas.errors import UsageError

    if text is None:
        return None, None
    first, dots, last = text.partition("..")
    ends = (first, last) if dots else (first, first)
    if not all(end.isdecimal() or (dots and not end) for end in ends) or text == "..":
        raise UsageError(
            f"{text!r} is no range of offsets.", next_step="Write 100, 100..200, 100.. or ..200. Default: all."
        )
    begin, end = (int(each) if each else None for each in ends)
    if begin is not None and end is not None and begin > end:
        raise UsageError(f"The range {text} ends before it begins.", next_step=f"Write {end}..{begin}.")
    return begin, end
