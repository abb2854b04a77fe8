"""Films: a folder of files, and a table that says which job is about which film."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

from backend import jobs
from backend.database import Database, Row
from backend.settings import Settings
from video.server import Refused, ask_for_status, request_processing

PART = "video"
TABLES = """
CREATE TABLE IF NOT EXISTS videos (
    job_id uuid PRIMARY KEY REFERENCES jobs (id),
    file_key text NOT NULL,
    language text NOT NULL,
    accepted boolean NOT NULL DEFAULT false
);
"""
log = logging.getLogger("uvicorn.error")


class NoSuchFilm(Exception):
    """No file of the folder has this key."""


def folder(settings: Settings) -> Path:
    return settings.data / "films"


def keys(settings: Settings) -> list[str]:
    """Return the keys of all films: their paths in the folder."""
    root = folder(settings)
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def start(db: Database, settings: Settings, file_key: str, language: str) -> UUID:
    """Keep a job about a film, and send it to the ML server; return its id.

    Raises NoSuchFilm, and Refused if it can't be sent; then the job is FAILED and says why.
    """
    root = folder(settings).resolve()
    path = (root / file_key).resolve()
    if not (path.is_file() and path.is_relative_to(root)):
        raise NoSuchFilm(file_key)
    job_id = uuid4()
    jobs.add(db, job_id, PART, path.name)  # before the request, because a callback may come at once
    db.change("INSERT INTO videos (job_id, file_key, language) VALUES (%s, %s, %s)", (job_id, file_key, language))
    _send(db, settings, job_id, file_key, language)
    return job_id


def _send(db: Database, settings: Settings, job_id: UUID, file_key: str, language: str) -> None:
    film = f"{settings.backend_url}/files/{quote(file_key)}"
    try:
        request_processing(settings, job_id, film, language)
    except Refused as error:
        jobs.failed(db, job_id, error.code, error.message)
        raise
    db.change("UPDATE videos SET accepted = true WHERE job_id = %s", [job_id])


def send_unsent(state: Any) -> None:
    """Send what a process had stored when it died. If it was sent after all, the same id is the same job."""
    db: Database = state.database
    unsent = "SELECT v.* FROM videos v JOIN jobs j ON j.id = v.job_id WHERE NOT v.accepted AND j.ended_at IS NULL"
    for row in db.rows(unsent):
        try:
            _send(db, state.settings, row["job_id"], row["file_key"], row["language"])
        except Refused as error:
            log.error("Job %s could not be sent: %s", row["job_id"], error.code)


def take(db: Database, body: Mapping[str, Any]) -> bool:
    """Store what a callback says, or a poll of the status, which has the same body. Return False if it is known, or late.

    Raises KeyError for a body of another shape, LookupError for a job that does not exist.
    """
    job_id, status = body["job_id"], body["status"]
    if jobs.find(db, job_id, PART) is None:
        raise LookupError(job_id)
    if status == "completed":
        return jobs.completed(db, job_id, body["result"])
    if status == "failed":
        return jobs.failed(db, job_id, body["error_code"], body["error_message"])
    return jobs.progressed(db, job_id, body["progress"], body["message"])


def refreshed(db: Database, settings: Settings, job: Row) -> Row:
    """Return a job after a look at the ML server: it makes up for a callback that was lost while this backend was down."""
    if job["ended_at"] is None:
        try:
            take(db, ask_for_status(settings, job["id"]))
        except (Refused, LookupError):  # KeyError is one: then the row shows what is known here
            return job
    return jobs.find(db, job["id"], PART) or job
