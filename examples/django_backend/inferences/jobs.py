"""Jobs of the processor `digits` on sluice."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone
from sluice_client import Client, Retry

from inferences.models import Inference, Status, set_ended

STATUS = {
    "PENDING": Status.PENDING,
    "PROCESSING": Status.PROCESSING,
    "RETRYING": Status.PROCESSING,
    "COMPLETED": Status.COMPLETED,
    "FAILED": Status.FAILED,
    "CANCELLED": Status.FAILED,
    "EXPIRED": Status.FAILED,
}
#: Uploading and submitting takes less.
SUBMIT_TIME = timedelta(minutes=5)


@cache
def client() -> Client:
    """Return the client of this process. A request of the front end must not wait for long: retries end after 5 s."""
    return Client(retry=Retry(total_s=5))


def start(inference: Inference, sheet: Path) -> str:
    """Upload the sheet, submit a job for it, and return the job's id. The same inference is always the same job."""
    upload = client().upload(sheet, kind="digits", content_type="text/csv")
    job = client().submit(
        "digits",
        {"sheet": upload.claim},
        idempotency_key=str(inference.key),
        external_id=str(inference.key),
        callback_url=settings.CALLBACK_URL,
    )
    return job.job_id


def on_callback(outcome: Mapping[str, Any]) -> None:
    """Store the outcome that a callback carries."""
    error = outcome["error"] or {}
    set_ended(
        outcome["external_id"], outcome["run"], STATUS[outcome["status"]], outcome["output"], error.get("message") or ""
    )


def refresh(inference: Inference) -> None:
    """Ask sluice for the state: a poll shows PROCESSING, and makes up for a callback that was lost."""
    if not inference.job_id:  # the submit is under way, or its process died
        if inference.created_at < timezone.now() - SUBMIT_TIME:
            set_ended(str(inference.key), 0, Status.FAILED, None, "The upload was interrupted. Send the sheet again.")
            inference.refresh_from_db()
        return
    job = client().job(inference.job_id)
    if not job.ended:
        inference.status = STATUS[job.state]  # shown, and not stored
        return
    result = client().result(job.job_id)
    error = result.error.message if result.error else ""
    set_ended(str(inference.key), result.run, STATUS[result.status], result.output, error)
    inference.refresh_from_db()
