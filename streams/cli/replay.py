"""`sluice replay`: select jobs and run them again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter, validators

from schemas.errors import ExitCode, UsageError
from streams.cli.app import sub_app
from streams.cli.options import COUNT, Json, duration, moment
from streams.cli.output import err, out, out_json
from streams.cli.replay_report import report
from streams.cli.replays import as_json, as_text, cancel, follow, list_, pause, resume, show

if TYPE_CHECKING:
    from connectors.replay_store import Replay, ReplayFilter
    from streams.replay.start import ReplayOptions
    from streams.settings import Settings

app = sub_app(
    "replay",
    """Run jobs again: select them, count them, replay them, watch them.

Each gets a new run from its old request, on the bulk lane, so that live jobs go
first. The selection is frozen at the start; the timekeeper then publishes it,
whether or not this command still runs. docs/replay.md says more.

For example:

    sluice replay --processor echo --error TIMEOUT_ERROR --since 24h --dry-run
    sluice replay --processor echo --error TIMEOUT_ERROR --since 24h --rate 20
    sluice replay 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10 --edit patch.json --wait
    sluice replay --processor segmentation --since 7d --max 50 --to-version 2.0
    sluice replay list
    sluice replay show 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10
    sluice replay cancel 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10
""",
)
app.command(list_, name="list")
for _one in (show, report, pause, resume, cancel):
    app.command(_one)

StatusName = Literal["COMPLETED", "FAILED", "CANCELLED", "EXPIRED"]
RATE = validators.Number(gt=0)
#: Jobs a second that a replay publishes unless --rate says otherwise.
DEFAULT_RATE = 100.0


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
    tenant: Annotated[str | None, Parameter(help="Only jobs of this tenant. Default: all.")] = None

    def wanted(self, job_ids: tuple[str, ...], *, shadow: bool = False) -> ReplayFilter:
        from connectors.replay_store import ReplayFilter
        from streams.replay.selection import checked_filter

        ids = [*job_ids, *([] if self.ids_from is None else _ids(self.ids_from))]
        if self.ids_from is not None and not ids:
            raise UsageError("The file has no job ids.", next_step="Write one a line.")
        errors = self.error, self.fingerprint, self.model_version
        places, times = (self.case, self.batch), (self.since, self.until)
        wanted = ReplayFilter(self.processor, self.status or None, *errors, *places, *times, ids or None)
        return checked_filter(wanted, shadow=shadow)


@Parameter(name="*")
@dataclass(frozen=True)
class How:
    rate: Annotated[float, Parameter(validator=RATE, help="Jobs published a second; 0.1: one in 10 seconds.")] = (
        DEFAULT_RATE
    )
    max: Annotated[int | None, Parameter(validator=COUNT, help="Replay at most so many jobs. Default: all.")] = None
    reason: Annotated[str, Parameter(help="Why, kept with the replay. Default: none.")] = ""
    force: Annotated[bool, Parameter(help="Replay also jobs that were replayed too often (SLUICE_REPLAY_LIMIT).")] = (
        False
    )
    callbacks: Annotated[
        str, Parameter(help="Callbacks of the new runs: usual (those of the job), none, or a URL instead.")
    ] = "usual"
    edit: Annotated[
        Path | None,
        Parameter(help="File with a JSON patch (RFC 6902) to apply to each input. Default: inputs stay as they are."),
    ] = None
    deadline: Annotated[
        timedelta | None, duration("Time limit of each new run: 30s, 5m, 2h. Default: none of its own.")
    ] = None
    to_version: Annotated[
        str | None,
        Parameter(
            help="Shadow run: let this version do completed jobs of --processor again and compare; nothing else changes. "
            "`sluice replay report` shows the differences. Default: no shadow run."
        ),
    ] = None

    def options(self, tenant: str | None) -> ReplayOptions:
        from streams.client.commands import default_requester
        from streams.replay.start import ReplayOptions

        return ReplayOptions(
            requested_by=default_requester(),
            reason=self.reason,
            tenant=tenant,
            rate=self.rate,
            at_most=self.max,
            force=self.force,
            callbacks=self.callbacks,
            edit=None if self.edit is None else read_patch(self.edit),
            deadline_s=None if self.deadline is None else self.deadline.total_seconds(),
            to_version=self.to_version,
        )


@app.default
def replay(
    *job_ids: Annotated[str, Parameter(help="Ids of jobs. Default: those that the other options select.")],
    which: Which | None = None,
    how: How | None = None,
    wait: Annotated[bool, Parameter(help="Wait until the new runs have ended.")] = False,
    detach: Annotated[bool, Parameter(help="Return at once; the timekeeper goes on.")] = False,
    json: Json = False,
) -> int:
    """Run jobs again: select them, count them, replay them, watch them.

    For example:

        sluice replay --status FAILED --since 2h
    """
    from streams import wiring
    from streams.replay.selection import described
    from streams.replay.start import new_replay
    from streams.settings import load_settings

    settings = load_settings()
    which, how = which or Which(), how or How()
    wanted = which.wanted(job_ids, shadow=how.to_version is not None)
    if how.to_version is not None:
        _check_served(settings, wanted, how.to_version)
    new = new_replay(settings, described(wanted), how.options(which.tenant))
    with wiring.replay_store(settings) as store:
        started = store.start(new, wanted)
        if not json:
            _say(started)
        ended, outcomes = (started, None) if detach else follow(store, started, wait=wait)
    out_json(as_json(ended, outcomes)) if json else out(as_text(ended, outcomes))
    return ExitCode.OK if not wait or ended.total == (outcomes or {}).get("COMPLETED", 0) else ExitCode.PARTIAL


def _check_served(settings: Settings, wanted: ReplayFilter, version: str) -> None:
    """Raises UsageError if no worker serves this version of the processor."""
    from streams.shadow.served import check_served

    assert wanted.processor is not None
    check_served(settings, wanted.processor, version)


def _say(started: Replay) -> None:
    err(f"replay {started.replay_id}: {started.total} jobs, {started.parked} of them parked")
    if started.to_version is not None:
        err(f"shadow run by version {started.to_version}; compare: sluice replay report {started.replay_id}")


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


def read_patch(file: Path) -> list[dict[str, object]]:
    """Read a JSON patch. Raises UsageError."""
    import json

    try:
        patch = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} can't be read as JSON: {type(error).__name__}.", next_step="See RFC 6902.") from error
    if not isinstance(patch, list) or not all(isinstance(one, dict) for one in patch):
        raise UsageError(f"{file} is no JSON patch, which is a list of operations.", next_step="See RFC 6902.")
    return patch
