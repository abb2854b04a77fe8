"""`sluice cancel`: cancel jobs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from schemas.errors import ExitCode, NotFound, UsageError
from schemas.ids import is_job_id
from schemas.states import State
from streams.cli.options import COUNT, Json
from streams.cli.output import err, out, out_json, table

if TYPE_CHECKING:
    from connectors.command_store import CommandStore
    from connectors.views import RunState

#: How long to wait for a job's row, in seconds: a job submitted a moment ago may not be stored yet.
PATIENCE_S = 2.0
_PAUSE_S = 0.1

JobId = Annotated[str, Parameter(help="Ids of the jobs, as printed by `sluice submit`.")]
Run = Annotated[
    int | None, Parameter(validator=COUNT, help="The job's run to cancel; 0 is the first. Default: the current run.")
]
Batch = Annotated[str | None, Parameter(help="Cancel all open jobs of this batch. Default: cancel by job id.")]
Reason = Annotated[str, Parameter(help="Why; shown by `sluice job`. Default: no reason.")]
Wait = Annotated[bool, Parameter(help="Wait until the jobs have ended.")]
Timeout = Annotated[float, Parameter(help="With --wait: seconds to wait; then exit status 124.")]


def cancel(
    *job_ids: JobId,
    run: Run = None,
    batch: Batch = None,
    reason: Reason = "",
    wait: Wait = False,
    timeout: Timeout = 60.0,
    json: Json = False,
) -> int:
    """Cancel jobs: waiting jobs end at once, running jobs are stopped.

    A waiting job ends as CANCELLED. A running job is asked to stop, and its process
    is killed if it does not; if it completes first, its result counts.
    Exit status: 0 requested (with --wait: cancelled), 5 no such job, 7 the job had
    already ended (with --wait: it was not cancelled), 8 different results for
    several jobs, 124 not ended in time.

    For example:

        sluice cancel 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10 --reason "wrong series"
        sluice cancel --batch night-17
    """
    from streams import wiring
    from streams.client.commands import CommandClient
    from streams.settings import load_settings

    _check(job_ids, run, batch)
    settings = load_settings()
    with wiring.command_store(settings) as store:
        found = store.open_jobs(batch) if batch is not None else _find(store, job_ids, run)
        unknown = [id_ for id_ in job_ids if id_ not in {job.job_id for job in found}]
        if job_ids and not found:
            raise NotFound(f"There is no job {', '.join(unknown)}.", next_step="`sluice jobs` lists all jobs.")
        to_cancel = [job for job in found if not State(job.state).terminal]
        if to_cancel:
            with CommandClient(settings) as commands:
                commands.cancel_many([(job.job_id, job.run) for job in to_cancel], reason)
        after = _wait(store, to_cancel, timeout) if wait else {}
    _print(found, after, json)
    if unknown:
        err(f"unknown jobs: {', '.join(unknown)}")
    return exit_code([_code(job, after, wait) for job in found] + [ExitCode.NOT_FOUND] * len(unknown))


def exit_code(codes: Sequence[int]) -> int:
    """Return the common status of all jobs, 8 if they differ, or 124 if one has not ended in time."""
    if ExitCode.WAIT_TIMED_OUT in codes:
        return ExitCode.WAIT_TIMED_OUT
    different = set(codes)
    return ExitCode.PARTIAL if len(different) > 1 else different.pop() if different else ExitCode.OK


def _check(job_ids: Sequence[str], run: int | None, batch: str | None) -> None:
    if bool(job_ids) == (batch is not None):
        problem = "Give job ids or --batch, not both." if job_ids else "Give the ids of jobs, or --batch."
        raise UsageError(problem, next_step="`sluice jobs` lists jobs with their ids.")
    if batch is not None and run is not None:
        raise UsageError("--run can't be combined with --batch.")
    for job_id in job_ids:
        if not is_job_id(job_id):
            raise UsageError(f"{job_id!r} is not a job id.", next_step="`sluice jobs` lists jobs with their ids.")


def _find(store: CommandStore, job_ids: Sequence[str], run: int | None) -> list[RunState]:
    wanted, give_up = len(set(job_ids)), time.monotonic() + PATIENCE_S
    while len(found := store.run_states(job_ids, run)) < wanted and time.monotonic() < give_up:
        time.sleep(_PAUSE_S)
    return found


def _wait(store: CommandStore, jobs: Sequence[RunState], timeout_s: float) -> dict[tuple[str, int], str]:
    """Return the state of each run once all have ended or the time is over."""
    give_up = time.monotonic() + timeout_s
    while True:
        states = {(job.job_id, job.run): job.state for job in _read_again(store, jobs)}
        if all(State(state).terminal for state in states.values()) or time.monotonic() > give_up:
            return states
        time.sleep(_PAUSE_S)


def _read_again(store: CommandStore, jobs: Sequence[RunState]) -> list[RunState]:
    runs = {job.run for job in jobs}
    return [s for run in runs for s in store.run_states([job.job_id for job in jobs if job.run == run], run)]


def _code(job: RunState, after: dict[tuple[str, int], str], waited: bool) -> int:
    if State(job.state).terminal:
        return ExitCode.CONFLICT
    if not waited:
        return ExitCode.OK
    state = State(after.get((job.job_id, job.run), job.state))
    if not state.terminal:
        return ExitCode.WAIT_TIMED_OUT
    return ExitCode.OK if state is State.CANCELLED else ExitCode.CONFLICT


def _print(found: Sequence[RunState], after: dict[tuple[str, int], str], as_json: bool) -> None:
    rows = [_row(job, after.get((job.job_id, job.run), job.state)) for job in found]
    if as_json:
        out_json(rows)
    elif rows:
        out(table([list(row.values()) for row in rows], ("JOB", "RUN", "STATE", "CANCEL")))
    else:
        err("The batch has no open jobs.")


def _row(before: RunState, state: str) -> dict[str, Any]:
    if State(before.state).terminal:
        result = "already ended"
    elif state == State.CANCELLED:
        result = "took effect"
    else:
        result = "came too late" if State(state).terminal else "requested"
    return {"job_id": before.job_id, "run": before.run, "state": state, "cancel": result}
