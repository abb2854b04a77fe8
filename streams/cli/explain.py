"""`sluice explain`: why a job is not done yet, or how it ended, and what happens next."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from streams.cli.options import COUNT, Json
from streams.cli.output import out, out_json, table

if TYPE_CHECKING:
    from streams.explain.explain import Explanation, JobEvent

#: Seconds between two looks with --follow.
TURN_S = 1.0

JobId = Annotated[str, Parameter(help="Id of the job, as printed by `sluice submit`.")]
Run = Annotated[
    int | None, Parameter(validator=COUNT, help="The run to explain; 0 is the first. Default: the current run.")
]
Follow = Annotated[bool, Parameter(help="Look again each second, print what changes, and end once the job is done.")]


def explain(job_id: JobId, /, *, run: Run = None, json: Json = False, follow: Follow = False) -> int:
    """Say why a job is not done yet, or how it ended, and what happens next.

    The first line is the reason; then come all reasons in order, an estimate by
    measured times, each record with topic, partition and offset, each try of a
    callback, and the commands that help. A part that does not answer is named,
    and the rest is explained without it. Exit status 5 if there is no such job,
    6 if nothing is known because something does not answer.

    For example:

        sluice explain 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10
        sluice explain 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10 --follow
        sluice explain 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10 --json | jq .situation
    """
    from schemas.errors import NotFound, Unreachable, UsageError
    from schemas.ids import is_job_id
    from streams.explain.collect import collect
    from streams.explain.explain import explain as explained
    from streams.settings import load_settings

    if not is_job_id(job_id):
        raise UsageError(f"{job_id!r} is not a job id.", next_step="`sluice jobs` lists jobs with their ids.")
    settings, before = load_settings(), ""
    while True:
        found = explained(collect(settings, job_id, run))
        if found.situation == "no_such_job":
            which = f"run {run} of job {job_id}" if run is not None else f"job {job_id}"
            raise NotFound(f"There is no {which}.", next_step="`sluice jobs` lists all jobs.")
        if found.headline != before:
            _print(found, json, whole=not before)
        before = found.headline
        if not follow or found.settled:
            break
        time.sleep(TURN_S)
    if found.situation == "not_known":
        raise Unreachable(found.headline, next_step="`sluice doctor` says what is away, and how to start it.")
    return 0


def _print(found: Explanation, json: bool, *, whole: bool) -> None:
    if json:
        out_json(found, indent=2 if whole else None)
    elif whole:
        out(as_text(found))
    else:
        out(f"{found.at:%H:%M:%S}  {found.state}  {found.headline}")


def as_text(found: Explanation) -> str:
    """Format an explanation for a terminal."""
    from streams.explain.explain import describe_estimate

    which = f"job {found.job_id}" + (f"  run {found.run}" if found.run is not None else "")
    blocks = [f"{which}  {found.state}\n\n{found.headline}"]
    more = [each.text for each in found.reasons[1:] if each.text not in found.headline]
    if more:
        blocks.append("\n".join(f"- {text}" for text in more))
    estimate = None if found.estimate is None else describe_estimate(found.estimate, found.at)
    blocks.append("\n".join(filter(None, [f"Next: {found.next}", estimate])))
    if found.unknown:
        blocks.append("\n".join(f"! {text}" for text in found.unknown))
    if found.steps:
        width = max(len(each.command or "") for each in found.steps)
        blocks.append(
            "\n".join(["What you can do:", *(f"  {(s.command or '').ljust(width)}  {s.text}" for s in found.steps)])
        )
    if found.events:
        rows = [(e.at, e.kind, e.run, e.attempt, _where(e), e.note, "yes" if e.stored else "no") for e in found.events]
        blocks.append(table(rows, ("AT (UTC)", "EVENT", "RUN", "ATTEMPT", "RECORD", "NOTE", "IN POSTGRES")))
    for delivery in found.deliveries:
        tries = [(t.n, t.at, t.status, f"{t.ms:.0f}", t.error) for t in delivery.tries]
        head = f"callback {delivery.delivery_id} of run {delivery.run}, {delivery.state}: {delivery.destination}"
        blocks.append(
            "\n".join([head, table(tries, ("TRY", "AT (UTC)", "STATUS", "MS", "ERROR"))] if tries else [head])
        )
    return "\n\n".join(blocks)


def _where(event: JobEvent) -> str:
    return "-" if event.where is None else f"{event.where.topic}[{event.where.partition}]@{event.where.offset}"
