"""`sluice job`: everything that is known of one job."""

from __future__ import annotations

import json as codec
import time
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from schemas.states import State
from streams.cli.options import Json
from streams.cli.output import jsonable, out, say_json, table

if TYPE_CHECKING:
    from connectors.job_store import JobStore
    from connectors.views import DeliveryView, JobView
    from schemas.records import Coordinates

#: A job that was submitted a moment ago may not have reached the table yet: how long to look before saying no.
PATIENCE_S = 2.0
_PAUSE_S = 0.05

#: How what a job waits for is said, before the time.
_DUE = {"retry": "its retry at", "deadline": "its result, until its deadline at", "not_before": "its time, not before"}

JobId = Annotated[str, Parameter(help="The job's id, as `sluice submit` printed it.")]
Run = Annotated[int | None, Parameter(help="A run other than the current one; 0 is the first.")]


def job(job_id: JobId, /, *, run: Run = None, json: Json = False) -> int:
    """Show one job: its state, its runs and its outcome.

    Where its request and result lie in Kafka, what it waits for, each callback with
    each try, and every event that was read of it. Exit status 5 when there is no
    such job.

    For example:

        sluice job 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10
        sluice job 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10 --json | jq .output
    """
    from schemas.errors import NotFound, UsageError
    from schemas.ids import is_job_id
    from streams import wiring
    from streams.settings import load_settings

    if not is_job_id(job_id):
        raise UsageError(f"{job_id!r} is no job id.", next_step="`sluice jobs` lists them.")
    with wiring.job_store(load_settings()) as store:
        view = _look(store, job_id, run)
    if view is None:
        which = f"run {run} of job {job_id}" if run is not None else f"job {job_id}"
        raise NotFound(
            f"There is no {which}.", next_step="`sluice jobs` lists them; is the sink running (`sluice status`)?"
        )
    say_json(view) if json else out(as_text(view))
    return 0


def _look(store: JobStore, job_id: str, run: int | None) -> JobView | None:
    until = time.monotonic() + PATIENCE_S
    while (view := store.job(job_id, run)) is None and time.monotonic() < until:
        time.sleep(_PAUSE_S)
    return view


def as_text(view: JobView) -> str:
    """Facts, then the outcome, the callbacks and the history."""
    width = max(map(len, _facts(view)))
    blocks = ["\n".join(f"{name.ljust(width)}  {told}" for name, told in _facts(view).items())]
    if view.error is not None:
        blocks.append(f"{view.error.code}: {view.error.message}")
    if view.output is not None:
        blocks.append(codec.dumps(jsonable(view.output), indent=2, ensure_ascii=False))
    blocks += [_delivery(delivery) for delivery in view.deliveries]
    rows = [
        (line.at, line.kind, line.run, line.attempt, _place(line.coordinates), line.reason) for line in view.history
    ]
    blocks.append(table(rows, ("AT (UTC)", "EVENT", "RUN", "ATTEMPT", "RECORD", "REASON")))
    return "\n\n".join(blocks)


def _facts(view: JobView) -> dict[str, str]:
    """What there is to tell, in the order in which it is asked; what is empty is left out."""
    ran = f"{view.device}, {view.run_ms:.1f} ms" if view.device and view.run_ms is not None else view.device
    ran = f"{ran} (not on CUDA: {view.device_note})" if view.device_note else ran
    waits = (
        f"{_DUE.get(view.due_kind or '', view.due_kind)} {view.due_at:%Y-%m-%d %H:%M:%S} UTC" if view.due_at else None
    )
    stage = f"{view.stage} {view.percent:.0f} %" if view.stage and view.percent is not None else view.stage
    took = (view.finished_at - view.requested_at).total_seconds() * 1000 if view.finished_at else None
    facts = {
        "job": f"{view.job_id}  run {view.run}, attempt {view.attempt}",
        "state": view.state,
        "processor": f"{view.processor} {view.model_version or ''}".rstrip(),
        "cancel": _cancel(view),
        "waits for": waits,
        "stage": f"{stage}: {view.message}" if stage and view.message else stage,
        "worker": view.owner,
        "ran on": ran,
        "took": None if took is None else f"{took:.0f} ms from submit to result",
        "requested": f"{view.requested_at:%Y-%m-%d %H:%M:%S} UTC",
        "deadline": f"{view.deadline:%Y-%m-%d %H:%M:%S} UTC" if view.deadline else None,
        "external id": view.external_id,
        "case": view.case_id,
        "upload": view.upload_id,
        "batch": view.batch_id,
        "labels": ", ".join(f"{key}={value}" for key, value in sorted(view.labels.items())),
        "request": _place(view.request),
        "result": _place(view.result),
    }
    return {name: told for name, told in facts.items() if told}


def _cancel(view: JobView) -> str | None:
    """That it was asked for, and once the job has ended, what came of it."""
    if view.cancel is None:
        return None
    asked = f"requested at {view.cancel.requested_at:%Y-%m-%d %H:%M:%S} UTC by {view.cancel.requested_by}"
    why = f" ({view.cancel.reason})" if view.cancel.reason else ""
    state = State(view.state)
    came = "; it took effect" if state is State.CANCELLED else "; it came too late" if state.terminal else ""
    return f"{asked}{why}{came}"


def _delivery(delivery: DeliveryView) -> str:
    due = f", next try {delivery.due_at:%H:%M:%S} UTC" if delivery.due_at and delivery.ended_at is None else ""
    lines = [f"callback {delivery.state}: {delivery.destination}{due}"]
    lines += [f"  try {t.n}: {t.error or t.status}, {t.ms:.0f} ms" for t in delivery.tries]
    return "\n".join(lines)


def _place(where: Coordinates | None) -> str | None:
    return None if where is None else f"{where.topic}[{where.partition}]@{where.offset}"
