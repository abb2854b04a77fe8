"""Research runs: a table that says which task of the service a job is. There is no callback: open runs are asked for."""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID, uuid4

from backend import jobs
from backend.database import Database, Row
from backend.settings import Settings
from research import server

PART = "research"
TABLES = """
CREATE TABLE IF NOT EXISTS research_runs (
    job_id uuid PRIMARY KEY REFERENCES jobs (id),
    query text NOT NULL,
    task_id text
);
"""
_OPEN = (
    "SELECT r.* FROM research_runs r JOIN jobs j ON j.id = r.job_id WHERE j.ended_at IS NULL"
    " AND r.task_id IS NOT NULL ORDER BY j.updated_at LIMIT 20"
)
log = logging.getLogger("uvicorn.error")


def start(db: Database, settings: Settings, query: str) -> UUID:
    """Keep a run, and start it; return its id. Raises Unavailable if that fails; then the job is FAILED and says why."""
    job_id = uuid4()
    jobs.add(db, job_id, PART, query[:80])
    db.change("INSERT INTO research_runs (job_id, query) VALUES (%s, %s)", (job_id, query))
    try:
        _send(db, settings, job_id, query)
    except server.Unavailable as error:
        jobs.failed(db, job_id, error.code, error.message)
        raise
    return job_id


def _send(db: Database, settings: Settings, job_id: UUID, query: str) -> None:
    accepted = server.start(settings, job_id, query)
    db.change("UPDATE research_runs SET task_id = %s WHERE job_id = %s", (accepted["task_id"], job_id))


def send_unsent(state: Any) -> None:
    """Start what a process had stored when it died. If it was started after all, the same id is the same run."""
    db: Database = state.database
    unsent = (
        "SELECT r.* FROM research_runs r JOIN jobs j ON j.id = r.job_id WHERE r.task_id IS NULL AND j.ended_at IS NULL"
    )
    for row in db.rows(unsent):
        try:
            _send(db, state.settings, row["job_id"], row["query"])
        except server.Unavailable as error:
            log.error("Run %s could not be started: %s", row["job_id"], error.code)


def refresh(state: Any) -> None:
    """Ask for the runs that are open, and store their states. A service that does not answer changes nothing."""
    for row in state.database.rows(_OPEN):
        try:
            take(state.database, row["job_id"], server.task(state.settings, row["task_id"]))
        except server.Unavailable:
            return


def take(db: Database, job_id: UUID, task: dict[str, Any]) -> None:
    """Store the state of a task: pending, progress, success or failure."""
    if task["status"] == "success":
        jobs.completed(db, job_id, task["result"])
    elif task["status"] == "failure":
        jobs.failed(db, job_id, task.get("error_code", "FAILED"), task["error"])
    elif task["status"] == "progress":
        jobs.progressed(db, job_id, round(task.get("progress") or 0), task["message"])


def find(db: Database, job_id: UUID) -> Row | None:
    """Return a run with its query."""
    job = jobs.find(db, job_id, PART)
    run = db.row("SELECT query FROM research_runs WHERE job_id = %s", [job_id])
    return {**job, **run} if job and run else None
