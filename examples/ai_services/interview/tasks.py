"""Tasks: what sluice does for a résumé or an interview. Each has a row before it is submitted, and one end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID, uuid5

import psycopg
from sluice_client import Client, SluiceError, Unreachable

from backend import jobs
from backend.database import Database, Row
from backend.settings import Settings
from interview.tables import PART

CALLBACK = "/interview/callbacks"
log = logging.getLogger("uvicorn.error")

#: Takes the task's row; returns the processor and its input. May raise FileNotFoundError: then the task fails.
Work = Callable[[Database, Settings, Client, Row], tuple[str, Mapping[str, Any]]]
#: Stores the output of a task, so that storing it twice changes nothing.
Store = Callable[[Database, Row, Mapping[str, Any]], None]
#: By the kind of a task; `resumes.py` and `interviews.py` fill them.
WORK: dict[str, Work] = {}
STORE: dict[str, Store] = {}
FAILED: dict[str, Callable[[Database, Row, str], None]] = {}


_ADD = """
WITH added AS (INSERT INTO jobs (id, part, title) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING RETURNING id)
INSERT INTO interview_tasks (job_id, kind, subject, "order") SELECT id, %s, %s, %s FROM added
"""


def add(db: Database, kind: str, subject: UUID, title: str, order: int = 0, *, again: bool = False) -> None:
    """Add a task, unless it is there: the same task has the same id, so that two requests at once make one.

    `again`: a task that has failed gets another attempt.
    """
    earlier = db.rows(
        "SELECT j.state FROM interview_tasks t JOIN jobs j ON j.id = t.job_id"
        ' WHERE t.kind = %s AND t.subject = %s AND t."order" = %s',
        (kind, subject, order),
    )
    if not earlier or (again and all(row["state"] == "FAILED" for row in earlier)):
        job_id = uuid5(subject, f"{kind}-{order}-{len(earlier)}")
        db.change(_ADD, (job_id, PART, title, kind, subject, order))


def submit_open(db: Database, settings: Settings, sluice: Client) -> None:
    """Submit the tasks that are not. If one was submitted after all, the same key is the same job. Raises Unreachable."""
    waiting = (
        "SELECT t.*, j.title FROM interview_tasks t JOIN jobs j ON j.id = t.job_id"
        " WHERE t.sluice_id IS NULL AND j.ended_at IS NULL ORDER BY j.created_at"
    )
    for task in db.rows(waiting):
        try:
            processor, input_ = WORK[task["kind"]](db, settings, sluice, task)
            submitted = sluice.submit(
                processor,
                input_,
                idempotency_key=str(task["job_id"]),
                external_id=str(task["job_id"]),
                callback_url=settings.backend_url + CALLBACK,
            )
        except Unreachable:
            raise  # it waits for the next request or start
        except (SluiceError, FileNotFoundError) as error:
            log.error("Task %s was not submitted: %s", task["job_id"], type(error).__name__)
            _fail(db, task, type(error).__name__, str(error))
        else:
            db.change("UPDATE interview_tasks SET sluice_id = %s WHERE job_id = %s", (submitted.job_id, task["job_id"]))


def take(db: Database, event: Mapping[str, Any]) -> Row:
    """Store what sluice says of a job, the data of a callback; return the task. Raises LookupError if there is none."""
    task = _find(db, str(event["external_id"]))
    if event["status"] == "COMPLETED":
        _complete(db, task, event.get("output") or {})
    else:
        error = event.get("error") or {}
        _fail(db, task, str(error.get("code") or event["status"]), str(error.get("message") or ""))
    return task


def refresh(db: Database, sluice: Client, subject: UUID) -> None:
    """Ask sluice about the open tasks of a subject: it makes up for callbacks that were lost while this backend was down."""
    open_tasks = (
        "SELECT t.*, j.title FROM interview_tasks t JOIN jobs j ON j.id = t.job_id"
        " WHERE t.subject = %s AND t.sluice_id IS NOT NULL AND j.ended_at IS NULL"
    )
    for task in db.rows(open_tasks, [subject]):
        job = sluice.job(task["sluice_id"])
        if job.ended:
            result = sluice.result(job.job_id)
            error = {"code": result.error.code, "message": result.error.message} if result.error else None
            take(db, {"external_id": task["job_id"], "status": job.state, "output": result.output, "error": error})
        elif job.state != "PENDING":
            jobs.progressed(db, task["job_id"], int(job.percent or 0), job.stage or "")


def _find(db: Database, job_id: str) -> Row:
    query = "SELECT t.*, j.title FROM interview_tasks t JOIN jobs j ON j.id = t.job_id WHERE t.job_id = %s"
    try:
        task = db.row(query, [UUID(job_id)])
    except ValueError:
        task = None
    if task is None:
        raise LookupError(job_id)
    return task


def _complete(db: Database, task: Row, output: Mapping[str, Any]) -> None:
    """Store the output, then the end: a process that dies in between does both again. An output that can't be stored is a
    failure that shows."""
    try:
        STORE[task["kind"]](db, task, output)
    except (psycopg.DataError, psycopg.IntegrityError, KeyError, TypeError) as error:
        log.error("The result of task %s can't be stored: %s", task["job_id"], type(error).__name__)
        _fail(db, task, "RESULT_NOT_STORED", "The result can't be stored; the log of this backend names the job.")
    else:
        jobs.completed(db, task["job_id"], {})  # the output is in the tables of the part


def _fail(db: Database, task: Row, code: str, message: str) -> None:
    if jobs.failed(db, task["job_id"], code, message) and (react := FAILED.get(task["kind"])):
        react(db, task, message)
