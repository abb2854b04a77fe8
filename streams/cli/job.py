"""`sluice job`: everything known about one job."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from schemas.states import State
from streams.cli.options import COUNT, Json
from streams.cli.output import json_text, jsonable, out, out_json, table

if TYPE_CHECKING:
    from connectors.job_store import JobStore
    from connectors.views import DeliveryView, JobView, Receipt
    from schemas.records import Coordinates

#: How long to wait for a job's row, in seconds: a job submitted a moment ago may not be stored yet.
PATIENCE_S = 2.0
_PAUSE_S = 0.05

#: Why a job waits, printed before the time it waits for.
_DUE = {"retry": "retry at", "deadline": "result; deadline at", "not_before": "start, not before"}

JobId = Annotated[str, Parameter(help="Id of the job, as printed by `sluice submit`.")]
Run = Annotated[
    int | None, Parameter(validator=COUNT, help="Number of the run; 0 is the first. Default: the current run.")
]


def job(job_id: JobId, /, *, run: Run = None, json: Json = False) -> int:
    """Show one job: its state, outcome, callbacks and history.

    Also prints where its request and result are in Kafka, what it waits for, every
    try of each callback, and every event stored of it. Exit status 5 if there is
    no such job.

    For example:

        sluice job 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10
        sluice job 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10 --json | jq .output
    """
    from streams import wiring
    from streams.settings import load_settings

    with wiring.job_store(load_settings()) as store:
        view = find_job(store, job_id, run)
    out_json(as_data(view)) if json else out(as_text(view))
    return 0


def find_job(store: JobStore, job_id: str, run: int | None) -> JobView:
    """Return a job, which may have been submitted a moment ago. Raises NotFound, UsageError for what is no id."""
    from schemas.errors import NotFound, UsageError
    from schemas.ids import is_job_id

    if not is_job_id(job_id):
        raise UsageError(f"{job_id!r} is not a job id.", next_step="`sluice jobs` lists jobs with their ids.")
    give_up = time.monotonic() + PATIENCE_S
    while (view := store.job(job_id, run)) is None and time.monotonic() < give_up:
        time.sleep(_PAUSE_S)
    if view is None:
        which = f"run {run} of job {job_id}" if run is not None else f"job {job_id}"
        raise NotFound(
            f"There is no {which}.",
            next_step="`sluice jobs` lists all jobs. A new job appears once the sink has stored it; see `sluice status`.",
        )
    return view


def as_data(view: JobView) -> dict[str, Any]:
    """Return the job for JSON. The store keeps no type of an error, so that field is left out."""
    data: dict[str, Any] = jsonable(view)
    if data["error"] is not None:
        del data["error"]["type"]
    return data


def as_text(view: JobView) -> str:
    """Format the job's facts, outcome, callbacks and history."""
    width = max(map(len, _facts(view)))
    blocks = ["\n".join(f"{name.ljust(width)}  {value}" for name, value in _facts(view).items())]
    if view.error is not None:
        blocks.append(f"{view.error.code}: {view.error.message}{_kind(view.error.fingerprint)}")
    if view.output is not None:
        blocks.append(json_text(view.output))
    blocks += [_delivery(delivery) for delivery in view.deliveries]
    rows = [
        (line.at, line.kind, line.run, line.attempt, _record(line.coordinates), line.reason) for line in view.history
    ]
    blocks.append(table(rows, ("AT (UTC)", "EVENT", "RUN", "ATTEMPT", "RECORD", "REASON")))
    return "\n\n".join(blocks)


def _kind(fingerprint: str) -> str:
    return (
        f"\nfingerprint {fingerprint}; jobs that failed alike: sluice jobs --fingerprint {fingerprint}"
        if fingerprint
        else ""
    )


def _facts(view: JobView) -> dict[str, str]:
    """Return the job's facts by their label, most asked for first, without the empty ones."""
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
        "device": ran,
        "took": None if took is None else f"{took:.0f} ms from submit to result",
        "requested": f"{view.requested_at:%Y-%m-%d %H:%M:%S} UTC",
        "deadline": f"{view.deadline:%Y-%m-%d %H:%M:%S} UTC" if view.deadline else None,
        "external id": view.external_id,
        "case": view.case_id,
        "upload": view.upload_id,
        "batch": view.batch_id,
        "labels": ", ".join(f"{key}={value}" for key, value in sorted(view.labels.items())),
        "receipt": _receipt(view.receipt),
        "request": _record(view.request),
        "result": _record(view.result),
    }
    return {name: value for name, value in facts.items() if value}


def _receipt(receipt: Receipt | None) -> str | None:
    """Describe what made the outcome: hashes in short, as `--json` has them in full."""
    if receipt is None:
        return None
    parts = {
        "input": receipt.input_sha256 and receipt.input_sha256[:12],
        "model": receipt.model_sha256 and receipt.model_sha256[:12],
        "code": receipt.code_version,
        "reused from": receipt.reused_from,
    }
    return ", ".join(f"{name} {value}" for name, value in parts.items() if value)


def _cancel(view: JobView) -> str | None:
    """Describe the cancel command and, once the job has ended, whether it took effect."""
    if view.cancel is None:
        return None
    asked = f"requested at {view.cancel.requested_at:%Y-%m-%d %H:%M:%S} UTC by {view.cancel.requested_by}"
    why = f" ({view.cancel.reason})" if view.cancel.reason else ""
    state = State(view.state)
    came = "; it took effect" if state is State.CANCELLED else "; it came too late" if state.terminal else ""
    return f"{asked}{why}{came}"


def _delivery(delivery: DeliveryView) -> str:
    due = f", next try {delivery.due_at:%H:%M:%S} UTC" if delivery.due_at and delivery.ended_at is None else ""
    lines = [f"callback of run {delivery.run}, {delivery.state}: {delivery.destination}{due}"]
    lines += [f"  try {t.n}: {t.error or t.status}, {t.ms:.0f} ms" for t in delivery.tries]
    return "\n".join(lines)


def _record(where: Coordinates | None) -> str | None:
    return None if where is None else f"{where.topic}[{where.partition}]@{where.offset}"
