"""`sluice replay`: select jobs and run them again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators

from schemas.errors import ExitCode, UsageError
from streams.cli.app import sub_app
from streams.cli.options import COUNT, Json, duration
from streams.cli.output import err, out, out_json
from streams.cli.replay_report import report
from streams.cli.replay_selection import Which
from streams.cli.replays import as_json, as_text, cancel, follow, list_, pause, print_dry_run, resume, show

if TYPE_CHECKING:
    from connectors.replay_store import Replay, ReplayFilter
    from streams.replay.start import ReplayOptions
    from streams.settings import Settings

app = sub_app(
    "replay",
    """Run jobs again: select them, count them, replay them, watch them.

Each gets a new run from its old request, on the bulk lane, so that live jobs go
first. The selection is frozen at the start; the timekeeper then publishes it,
whether or not this command still runs. Exit status 5 if no job is selected.
docs/replay.md says more.

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

#: As connectors.replay_store.SLOWEST and FASTEST, which --help does not import.
RATE = validators.Number(gte=0.001, lte=10_000)
#: Jobs a second that a replay publishes unless --rate says otherwise.
DEFAULT_RATE = 100.0


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
    dry_run: Annotated[bool, Parameter(name="--dry-run", help="Only count and check; change nothing.")] = False,
    wait: Annotated[bool, Parameter(help="Wait until the new runs have ended.")] = False,
    detach: Annotated[bool, Parameter(help="Return at once; the timekeeper goes on.")] = False,
    json: Json = False,
) -> int:
    """Run jobs again: select them, count them, replay them, watch them.

    For example:

        sluice replay --status FAILED --since 2h
    """
    from connectors.replay_store import ReplayFilter
    from streams import wiring
    from streams.replay.empty import check_selected
    from streams.replay.start import new_replay
    from streams.settings import load_settings

    settings = load_settings()
    which, how = which or Which(), how or How()
    shadow = how.to_version is not None
    chosen, said = which.chosen(settings, job_ids, shadow=shadow)
    if how.to_version is not None:
        assert isinstance(chosen, ReplayFilter)
        _check_served(settings, chosen, how.to_version)
    new = new_replay(settings, said, how.options(which.tenant))
    with wiring.replay_store(settings) as store:
        if dry_run:
            print_dry_run(settings, store, new, chosen, json)
            return ExitCode.OK
        check_selected(store, new, chosen)
        started = store.start(new, chosen)
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
    from streams.explain.finding import counted

    err(f"replay {started.replay_id}: {counted(started.total, 'job')}, {started.parked} of them parked")
    if started.to_version is not None:
        err(f"shadow run by version {started.to_version}; compare: sluice replay report {started.replay_id}")


def read_patch(file: Path) -> list[dict[str, object]]:
    """Read a JSON patch. Raises UsageError."""
    import json

    try:
        patch = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{file} can't be read as JSON: {type(error).__name__}.", next_step="See RFC 6902.") from error
    if not isinstance(patch, list) or not all(isinstance(one, dict) for one in patch):
        raise UsageError(f"{file} is no JSON patch, which is a list of operations.", next_step="See RFC 6902.")
    return patch
