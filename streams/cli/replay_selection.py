"""The options of `sluice replay` that select jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from schemas.errors import UsageError
from streams.cli.options import COUNT, moment
from streams.cli.output import err

if TYPE_CHECKING:
    from connectors.replay_store import Chosen, ReplayFilter
    from streams.replay.from_log import LogSelection
    from streams.settings import Settings

StatusName = Literal["COMPLETED", "FAILED", "CANCELLED", "EXPIRED"]


@Parameter(name="*")
@dataclass(frozen=True)
class Which:
    processor: Annotated[str | None, Parameter(help="Only jobs of this processor. Default: all.")] = None
    status: Annotated[
        tuple[StatusName, ...],
        Parameter(help="Only jobs in this state; may be given again. Default: FAILED, or any for jobs given by id."),
    ] = ()
    error: Annotated[str | None, Parameter(help="Only jobs that ended with this error code. Default: any.")] = None
    fingerprint: Annotated[
        str | None, Parameter(help="Only jobs with this error fingerprint, as `sluice job` shows it. Default: any.")
    ] = None
    model_version: Annotated[str | None, Parameter(help="Only jobs that this version ran. Default: any.")] = None
    case: Annotated[str | None, Parameter(help="Only jobs of this case. Default: all.")] = None
    batch: Annotated[str | None, Parameter(help="Only jobs of this batch. Default: all.")] = None
    since: Annotated[datetime | None, moment("Only jobs that ended since then.")] = None
    until: Annotated[datetime | None, moment("Only jobs that ended before then.")] = None
    ids_from: Annotated[
        str | None,
        Parameter(help="File with job ids, one a line; - reads them from stdin. Default: none.", metavar="FILE"),
    ] = None
    topic: Annotated[
        str | None,
        Parameter(help="Only jobs with a record in this topic of requests, results or outcomes. Default: any."),
    ] = None
    partition: Annotated[
        int | None, Parameter(validator=COUNT, help="Only records of this partition of --topic. Default: all.")
    ] = None
    offsets: Annotated[
        str | None,
        Parameter(
            help="Only these offsets of --partition: 17, 17-40 or 17-, both included. Default: all.", metavar="RANGE"
        ),
    ] = None
    tenant: Annotated[str | None, Parameter(help="Only jobs of this tenant. Default: all.")] = None

    def chosen(
        self, settings: Settings, job_ids: tuple[str, ...], *, shadow: bool = False
    ) -> tuple[Chosen, dict[str, object]]:
        """Return the selection, and how the replay's row says it. Raises UsageError, NotFound, Unreachable."""
        from dataclasses import replace

        from streams.replay.selection import checked_filter, described

        if self.topic is None:
            if self.partition is not None or self.offsets is not None:
                raise UsageError("A partition and offsets belong to a topic.", next_step="Add --topic.")
            return (wanted := self.wanted(job_ids, shadow=shadow)), described(wanted)
        from streams.replay.from_log import holds_requests

        requests, wanted = holds_requests(settings, self.topic), self.wanted(job_ids)
        if shadow:
            wanted = replace(wanted, processor=wanted.processor or settings.topics.processor_of(self.topic))
        found = self._from_log(settings, self.topic)
        place = {"topic": self.topic, "partition": self.partition, "offsets": self.offsets}
        said = {name: value for name, value in place.items() if value is not None} | described(wanted)
        if requests and not described(wanted):
            return found.sources, said
        ids = found.job_ids if wanted.job_ids is None else [one for one in found.job_ids if one in {*wanted.job_ids}]
        return checked_filter(replace(wanted, job_ids=ids), shadow=shadow), said

    def _from_log(self, settings: Settings, topic: str) -> LogSelection:
        from streams.admin.log_range import Span
        from streams.cli.progress import progress_to
        from streams.replay.from_log import jobs_in_log

        first, last = _offsets(self.offsets)
        span = Span(partition=self.partition, first=first, last=last)
        with progress_to("reading the log", 100) as show_to:
            found = jobs_in_log(settings, topic, span, lambda scan: show_to(int(100 * scan.share)))
        if found.gone is not None:
            err(f"not the whole range: {found.gone}")
        if found.nameless:
            err(f"{found.nameless} records name no job")
        if found.shadows:
            err(f"{found.shadows} records of shadow runs are left out")
        return found

    def wanted(self, job_ids: tuple[str, ...], *, shadow: bool = False) -> ReplayFilter:
        from connectors.replay_store import ReplayFilter
        from streams.replay.selection import checked_filter

        ids = [*job_ids, *([] if self.ids_from is None else _ids(self.ids_from))]
        if self.ids_from is not None and not ids:
            raise UsageError("The file has no job ids.", next_step="Write one a line.")
        errors = self.error, self.fingerprint, self.model_version
        places, times = (self.case, self.batch), (self.since, self.until)
        found = ReplayFilter(self.processor, self.status or None, *errors, *places, *times, ids or None)
        return found if self.topic is not None else checked_filter(found, shadow=shadow)


def _offsets(text: str | None) -> tuple[int | None, int | None]:
    """Return the first and the last offset of `17`, `17-40` or `17-`; None for no limit."""
    import re

    if text is None:
        return None, None
    found = re.fullmatch(r"(\d{1,18})(?:(-)(\d{1,18})?)?", text)
    if found is None or (found[3] and int(found[3]) < int(found[1])):
        raise UsageError(f"{text[:40]!r} is no range of offsets.", next_step="Write 17, 17-40 or 17-.")
    first = int(found[1])
    return first, int(found[3]) if found[3] else None if found[2] else first


def _ids(file: str) -> list[str]:
    import sys

    from streams.replay.selection import ids_in

    if file == "-":
        return ids_in(sys.stdin)
    try:
        return ids_in(Path(file).read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{file} can't be read: {type(error).__name__}.", next_step="Give a text file of ids."
        ) from error
