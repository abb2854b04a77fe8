"""Résumés: an upload, a job that reads it, and its fields in columns. `processing_status`: pending → completed | failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sluice_client import Client

from backend.database import Database, Row
from backend.settings import Settings
from interview import tasks

KIND = "resume"
TEXTS = ("name", "email", "phone", "summary", "language")
LISTS = ("education", "experience", "projects", "skills", "languages", "certificates", "links", "warnings")
_COMPLETE = """
UPDATE resumes SET processing_status = 'completed', error_message = NULL, name = %(name)s, email = %(email)s,
    phone = %(phone)s, summary = %(summary)s, language = %(language)s, education = %(education)s,
    experience = %(experience)s, projects = %(projects)s, skills = %(skills)s, languages = %(languages)s,
    certificates = %(certificates)s, links = %(links)s, warnings = %(warnings)s
WHERE id = %(id)s
"""


def create(db: Database, settings: Settings, filename: str, document: bytes) -> UUID:
    """Keep a document and the task that reads it; return the résumé's id. `tasks.submit_open` submits it."""
    resume_id = uuid4()
    path = _document(settings, resume_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(document)
    db.change("INSERT INTO resumes (id, filename) VALUES (%s, %s)", (resume_id, filename))
    tasks.add(db, KIND, resume_id, filename)
    return resume_id


def add_missing_tasks(db: Database) -> None:
    """Add the tasks of résumés whose upload died before it had one."""
    without = (
        "SELECT id, filename FROM resumes r WHERE processing_status = 'pending'"
        " AND NOT EXISTS (SELECT FROM interview_tasks t WHERE t.subject = r.id)"
    )
    for resume in db.rows(without):
        tasks.add(db, KIND, resume["id"], resume["filename"])


def find(db: Database, resume_id: UUID) -> Row | None:
    return db.row("SELECT * FROM resumes WHERE id = %s", [resume_id])


def newest(db: Database) -> Sequence[Row]:
    return db.rows("SELECT * FROM resumes ORDER BY created_at DESC LIMIT 50")


def facts(resume: Row | None) -> Mapping[str, Sequence[str]] | None:
    """Return what questions may mention; no name, address or date."""
    if resume is None or resume["processing_status"] != "completed":
        return None
    return {
        "positions": _named(resume["experience"], "title"),
        "companies": _named(resume["experience"], "organisation"),
        "skills": resume["skills"],
        "projects": _named(resume["projects"], "name"),
        "education": _named(resume["education"], "field"),
    }


def _named(entries: Sequence[Mapping[str, Any]], field: str) -> list[str]:
    return [str(entry[field]) for entry in entries if entry.get(field)]


def _document(settings: Settings, resume_id: UUID) -> Path:
    return settings.data / "resumes" / str(resume_id)


def _work(_: Database, settings: Settings, sluice: Client, task: Row) -> tuple[str, Mapping[str, Any]]:
    upload = sluice.upload(_document(settings, task["subject"]), filename=task["title"])
    return "resume", {"document": asdict(upload.claim)}


def _store(db: Database, task: Row, output: Mapping[str, Any]) -> None:
    """Fill the columns. Lists are adapted to jsonb: as a text they would be refused."""
    values = {name: output[name] for name in TEXTS} | {name: db.json(output[name]) for name in LISTS}
    db.change(_COMPLETE, values | {"id": task["subject"]})


def _failed(db: Database, task: Row, message: str) -> None:
    statement = "UPDATE resumes SET processing_status = 'failed', error_message = %s WHERE id = %s"
    db.change(statement + " AND processing_status = 'pending'", (message, task["subject"]))


tasks.WORK[KIND] = _work
tasks.STORE[KIND] = _store
tasks.FAILED[KIND] = _failed
