"""`sluice cancel`: ask for jobs to stop."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from schemas.errors import ExitCode, NotFound, UsageError
from schemas.ids import is_job_id
from schemas.states import State
from streams.cli.options import Json, Reason
from streams.cli.output import err, out, say_json, table

if TYPE_CHECKING:
    from connectors.command_store import CommandStore
    from connectors.views import RunState

#: A job that was submitted a moment ago may not have reached the table yet: how long to look before saying no.
PATIENCE_S = 2.0
_PAUSE_S = 0.1

JobId = Annotated[str, Parameter(help="The jobs' ids, as `sluice submit` printed them.")]
Run = Annotated[int | None, Parameter(help="A run other than the current one; 0 is the first.")]
Batch = Annotated[str | None, Parameter(help="All jobs of this batch that have not ended.")]
Wait = Annotated[bool, Parameter(help="Wait until they have ended.")]
Timeout = Annotated[float, Parameter(help="Seconds to wait at most; then exit status 124.", show_default=True)]


def cancel(
    *job_ids: JobId,
    run: Run = None,
    batch: Batch = None,
    reason: Reason = "",
    wait: Wait = False,
    timeout: Timeout = 60.0,
    json: Json = False,
) -> int:
    """Ask for jobs to stop.

    A waiting job ends as CANCELLED at once. A running one is told, and its process is
    killed if it does not stop; should it be done before that, its result counts.
    Exit status: 0 requested (with --wait: cancelled), 5 no such job, 7 it had ended
    already (with --wait: it ended otherwise), 8 some of many, 124 not ended in time.

    For example:

        sluice cancel 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10 --reason "wrong series" --wait
        sluice cancel --batch night-17
    """
    from streams import wiring
    from streams.client.commands import CommandClient
    from streams.settings import load_settings

    _check(job_ids, run, batch)
    settings = load_settings()
    with wiring.command_store(settings) as store:
        found = store.open_jobs(batch) if batch is not None else _look(store, job_ids, run)
        unknown = [job for job in job_ids if job not in {standing.job_id for standing in found}]
        if job_ids and not found:
            raise NotFound(f"There is no job {', '.join(unknown)}.", next_step="`sluice jobs` lists them.")
        asked = [standing for standing in found if not State(standing.state).terminal]
        if asked:
            with CommandClient(settings) as controls:
                controls.cancel_many([(standing.job_id, standing.run) for standing in asked], reason)
        after = _wait(store, asked, timeout) if wait else {}
    _tell(found, after, json)
    if unknown:
        err(f"not known: {', '.join(unknown)}")
    return exit_code([_code(standing, after, wait) for standing in found] + [ExitCode.NOT_FOUND] * len(unknown))


def exit_code(codes: Sequence[int]) -> int:
    """That of all of them, or 8; 124 as soon as one has not ended in time."""
    if ExitCode.WAIT_TIMED_OUT in codes:
        return ExitCode.WAIT_TIMED_OUT
    different = set(codes)
    return ExitCode.PARTIAL if len(different) > 1 else different.pop() if different else ExitCode.OK


def _check(job_ids: Sequence[str], run: int | None, batch: str | None) -> None:
    if bool(job_ids) == (batch is not None):
        raise UsageError("Name jobs, or a batch.", next_step="`sluice jobs` lists jobs.")
    if batch is not None and run is not None:
        raise UsageError("--run goes with jobs, not with a batch.")
    for job_id in job_ids:
        if not is_job_id(job_id):
            raise UsageError(f"{job_id!r} is no job id.", next_step="`sluice jobs` lists them.")


def _look(store: CommandStore, job_ids: Sequence[str], run: int | None) -> list[RunState]:
    wanted, until = len(set(job_ids)), time.monotonic() + PATIENCE_S
    while len(found := store.run_states(job_ids, run)) < wanted and time.monotonic() < until:
        time.sleep(_PAUSE_S)
    return found


def _wait(store: CommandStore, asked: Sequence[RunState], timeout_s: float) -> dict[tuple[str, int], str]:
    """The state of each run, once all have ended or the time is over."""
    until = time.monotonic() + timeout_s
    while True:
        states = {(one.job_id, one.run): one.state for one in _again(store, asked)}
        if all(State(state).terminal for state in states.values()) or time.monotonic() > until:
            return states
        time.sleep(_PAUSE_S)


def _again(store: CommandStore, asked: Sequence[RunState]) -> list[RunState]:
    runs = {one.run for one in asked}
    return [s for run in runs for s in store.run_states([one.job_id for one in asked if one.run == run], run)]


def _code(standing: RunState, after: dict[tuple[str, int], str], waited: bool) -> int:
    if State(standing.state).terminal:
        return ExitCode.CONFLICT
    if not waited:
        return ExitCode.OK
    state = State(after.get((standing.job_id, standing.run), standing.state))
    if not state.terminal:
        return ExitCode.WAIT_TIMED_OUT
    return ExitCode.OK if state is State.CANCELLED else ExitCode.CONFLICT


def _tell(found: Sequence[RunState], after: dict[tuple[str, int], str], as_json: bool) -> None:
    rows = [_row(standing, after.get((standing.job_id, standing.run), standing.state)) for standing in found]
    if as_json:
        say_json(rows)
    elif rows:
        out(table([list(row.values()) for row in rows], ("JOB", "RUN", "STATE", "CANCEL")))
    else:
        err("no job of it is open")


def _row(before: RunState, state: str) -> dict[str, Any]:
    if State(before.state).terminal:
        told = "already ended"
    elif state == State.CANCELLED:
        told = "took effect"
    else:
        told = "came too late" if State(state).terminal else "requested"
    return {"job_id": before.job_id, "run": before.run, "state": state, "cancel": told}
