"""Progress and its callbacks in memory: the statements `mark_progress`, `end_progress`, `record_progress`, `after_progress`."""

from __future__ import annotations

from datetime import datetime, timedelta

from connectors.delivery_store import ProgressTry
from connectors.memory.database import MemoryDatabase
from connectors.memory.tables import OPEN, StoredDelivery, StoredRun, StoredTry
from connectors.replay_store import USUAL
from connectors.sink_store import ProgressEnd, ProgressRow
from schemas.states import Mode

#: How long the outcome of a job with progress callbacks waits until these are ended (store_batch.sql).
PROGRESS_WAIT = timedelta(minutes=1)


def move_run(run: StoredRun, row: ProgressRow, now: datetime) -> bool:
    """Move a run to PROCESSING, only forward: from RETRYING only by a newer attempt, an ended run never. True if it moved."""
    order = (row.attempt, row.execution, row.sequence)
    forward = {
        "PENDING": row.attempt >= run.attempt,
        "PROCESSING": order > (run.attempt, run.execution, run.sequence),
        "RETRYING": row.attempt > run.attempt,
    }
    if not forward.get(run.state, False):
        return False
    run.state, run.owner = "PROCESSING", row.owner
    run.stage, run.percent, run.message = row.stage, row.percent, row.message
    run.attempt, run.execution, run.sequence = order
    run.due_at, run.due_kind = run.deadline, None if run.deadline is None else "deadline"
    run.updated_at = now
    return True


def add_progress(db: MemoryDatabase, row: ProgressRow, now: datetime) -> None:
    """Make the delivery of this progress pending, if its job has progress callbacks and this is no shadow run; an erased job
    keeps no message."""
    job = db.jobs.get(row.job_id)
    if job is not None and job.erased_at is not None:
        db.runs[row.job_id, row.run].message = None
    if job is None or not job.callback_progress or not job.callback_url or row.delivery_id is None:
        return
    if db.runs[row.job_id, row.run].mode == Mode.SHADOW or _elsewhere(db, row):
        return
    found = db.deliveries.get(row.delivery_id)
    if found is None:
        db.deliveries[row.delivery_id] = StoredDelivery(
            row.delivery_id,
            row.job_id,
            row.run,
            "progress",
            0,
            job.callback_url,
            "pending",
            0,
            now,
            None,
            job.tenant,
            profile=job.callback_profile,
            created_at=now,
        )
    elif found.state in ("pending", "delivered"):
        found.sequence += 1
        if found.state == "delivered":
            found.state, found.due_at, found.ended_at = "pending", now, None


def _elsewhere(db: MemoryDatabase, row: ProgressRow) -> bool:
    """True if a replay made the run whose callbacks are none, or go to another address."""
    made = (replay for replay in db.replays.values() if replay.new.callbacks != USUAL)
    return any((each.job_id, each.run) == (row.job_id, row.run) for replay in made for each in replay.rows)


def end_progress(db: MemoryDatabase, end: ProgressEnd, now: datetime) -> bool:
    """End a run's progress callbacks. True if the delivery of its outcome is due at once."""
    progress, outcome = db.deliveries.get(end.progress_id), db.deliveries.get(end.outcome_id)
    held = progress is not None and progress.state == "pending" and progress.held(now)
    if progress is not None and progress.state == "pending" and not held:
        progress.state, progress.ended_at = "superseded", now
    if outcome is None or outcome.state != "pending":
        return False
    outcome.due_at = progress.held_until if progress is not None and held and progress.held_until else now
    outcome.notifier = None if held else end.notifier
    return not held


def record_progress(db: MemoryDatabase, row: ProgressTry, now: datetime) -> None:
    delivery = db.deliveries.get(row.delivery_id)
    if delivery is not None and (delivery.notifier, delivery.state) == (row.notifier, "pending"):
        run = db.runs[delivery.job_id, delivery.run]
        delivery.state = _state(delivery, row, run.state in OPEN)
        delivery.ended_at = None if delivery.state == "pending" else now
        delivery.tries = 0 if row.state == "delivered" else delivery.tries + row.counts
        delivery.due_at = now + timedelta(milliseconds=row.due_in_ms)
        delivery.notifier = delivery.held_until = None
    if delivery is not None:
        if row.counts:
            delivery.try_rows[:] = [StoredTry(1, now, row.status, row.ms, row.error)]
        if delivery.held_until is None:
            _make_outcome_due(db, delivery, now)


def _state(delivery: StoredDelivery, row: ProgressTry, runs: bool) -> str:
    if row.state not in ("delivered", "pending"):
        return row.state
    if not runs:
        return "delivered" if row.state == "delivered" else "superseded"
    return "pending" if delivery.sequence > row.sequence else row.state


def _make_outcome_due(db: MemoryDatabase, progress: StoredDelivery, now: datetime) -> None:
    for one in db.deliveries.values():
        waits = (one.kind, one.state, one.notifier, one.tries) == ("outcome", "pending", None, 0) and one.due_at > now
        if waits and (one.job_id, one.run) == (progress.job_id, progress.run):
            one.due_at = now
