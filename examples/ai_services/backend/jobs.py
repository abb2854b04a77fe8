"""The table of jobs, which the services share. A job belongs to one part; its id is the part's own, never sluice's.

States: PENDING → PROCESSING → COMPLETED | FAILED.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from backend.database import Database, Row

TABLES = """
CREATE TABLE IF NOT EXISTS jobs (
    id uuid PRIMARY KEY,
    part text NOT NULL,
    title text NOT NULL,
    state text NOT NULL DEFAULT 'PENDING',
    progress smallint NOT NULL DEFAULT 0,
    message text NOT NULL DEFAULT '',
    result jsonb,
    error_code text,
    error_message text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);
CREATE INDEX IF NOT EXISTS jobs_newest ON jobs (created_at DESC);
"""
_NEWEST = """
SELECT id, part, title, state, progress, message, error_code, error_message, created_at, updated_at, ended_at
FROM jobs WHERE %(part)s::text IS NULL OR part = %(part)s ORDER BY created_at DESC LIMIT %(limit)s
"""


def add(db: Database, job_id: UUID | str, part: str, title: str) -> None:
    """Store a new job. Do it before the request to sluice: a callback may come at once."""
    db.change("INSERT INTO jobs (id, part, title) VALUES (%s, %s, %s)", (job_id, part, title))


def progressed(db: Database, job_id: UUID | str, percent: int, message: str) -> bool:
    """Store the progress of a job; return False if it has ended, which progress never undoes."""
    statement = (
        "UPDATE jobs SET state = 'PROCESSING', progress = %s, message = %s, updated_at = now()"
        " WHERE id = %s AND ended_at IS NULL"
    )
    return db.change(statement, (percent, message, job_id)) == 1


def completed(db: Database, job_id: UUID | str, result: Mapping[str, Any]) -> bool:
    """Store the result of a job; return False if it is completed already. A run that is repeated may replace a failure."""
    statement = (
        "UPDATE jobs SET state = 'COMPLETED', progress = 100, message = '', result = %s, error_code = NULL,"
        " error_message = NULL, updated_at = now(), ended_at = now() WHERE id = %s AND state <> 'COMPLETED'"
    )
    return db.change(statement, (db.json(result), job_id)) == 1


def failed(db: Database, job_id: UUID | str, code: str, message: str) -> bool:
    """Store why a job failed; return False if it has ended already."""
    statement = (
        "UPDATE jobs SET state = 'FAILED', message = '', error_code = %s, error_message = %s, updated_at = now(),"
        " ended_at = now() WHERE id = %s AND ended_at IS NULL"
    )
    return db.change(statement, (code, message, job_id)) == 1


def find(db: Database, job_id: UUID | str, part: str) -> Row | None:
    """Return a job of a part, with its result."""
    return db.row("SELECT * FROM jobs WHERE id = %s AND part = %s", (job_id, part))


def newest(db: Database, part: str | None = None, limit: int = 100) -> Sequence[Row]:
    """Return jobs without their results, newest first; of all parts, or of one."""
    return db.rows(_NEWEST, {"part": part, "limit": limit})
