"""Jobs of the processor `digits` on sluice."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import Request
from sluice_client import Client, Retry
from sqlmodel import Session

from store import Inference, set_ended

CALLBACK_URL = os.environ.get("CALLBACK_URL", "http://localhost:8000/callbacks/sluice")
#: A request of the front end must not wait for long when sluice is away.
RETRY = Retry(total_s=5)
#: Sluice's states, as the front end knows them.
STATES = {
    "PENDING": "PENDING",
    "PROCESSING": "PROCESSING",
    "RETRYING": "PROCESSING",
    "COMPLETED": "COMPLETED",
    "FAILED": "FAILED",
    "EXPIRED": "FAILED",
    "CANCELLED": "CANCELLED",
}


def client(request: Request) -> Client:
    sluice: Client = request.app.state.sluice
    return sluice


def start(sluice: Client, inference_id: str, sheet: Path) -> str:
    """Upload the sheet, submit a job for it, and return the job's id. The same inference is always the same job."""
    upload = sluice.upload(sheet, kind="digits", content_type="text/csv")
    job = sluice.submit(
        "digits",
        {"sheet": upload.claim},
        idempotency_key=inference_id,
        external_id=inference_id,
        callback_url=CALLBACK_URL,
    )
    return job.job_id


def on_callback(db: Session, outcome: Mapping[str, Any]) -> None:
    """Store the outcome that a callback carries."""
    state, error = STATES[outcome["status"]], outcome["error"] or {}
    set_ended(db, outcome["external_id"], outcome["run"], state, outcome["output"], error.get("message"))


def refresh(sluice: Client, db: Session, inference: Inference) -> None:
    """Ask sluice for the state: a poll shows PROCESSING, and makes up for a callback that was lost."""
    job = sluice.job(str(inference.job_id))
    if not job.ended:
        inference.state = STATES[job.state]  # shown, and not stored
        return
    result = sluice.result(job.job_id)
    error = result.error.message if result.error else None
    set_ended(db, inference.id, result.run, STATES[result.status], result.output, error)
    db.refresh(inference)
