"""Everything that speaks with sluice: the inference service at INFERENCE_URL, by plain HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import requests
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.utils import timezone

from ai.models import BiomarkerOrder, Inference, Model, Patient, Status

#: Sending a volume takes less.
SEND_TIME = timedelta(minutes=5)
#: Names of MM's inputs, as a request names them.
CHOICES = ("m1_ai_req_id", "mg_ai_req_id", "biomarker_upload_id")


class Unavailable(Exception):
    """Sluice does not answer, or refuses. The message is for the page."""


def start(
    patient: Patient, model: Model, *, file: UploadedFile | None = None, chosen: Mapping[str, str] | None = None
) -> Inference:
    """Keep a new inference and send it to sluice, with its file. Raises Unavailable; then the row is FAILED and says why."""
    row = Inference.objects.create(patient=patient, model=model, input=file or "", chosen=dict(chosen or {}))
    fields = {
        "ai_req_id": row.ai_req_id,
        "model": model.value,
        "patient_id": patient.patient_id,
        "callback_url": settings.CALLBACK_URL,
    }
    try:
        with ExitStack() as stack:
            if file is None:
                answer = _ask("POST", "/api/ai/inferences/", json={**fields, **row.chosen})
            else:
                content = stack.enter_context(row.input.open("rb"))
                sent = {"file": (file.name, content, file.content_type or "application/octet-stream")}
                answer = _ask("POST", "/api/ai/inferences/", data=fields, files=sent)
    except Unavailable as error:
        row.fail("CONNECTION_ERROR", str(error))
        raise
    Inference.objects.filter(pk=row.pk).update(job_id=str(answer.get("job_id", "")))
    row.refresh_from_db()
    return row


def refresh(row: Inference) -> None:
    """Ask sluice for the state of an open inference: a poll shows PROCESSING, and a failure whose callback was lost.

    A result comes by callback alone: its files travel in it.
    """
    if not row.open:
        return
    try:
        state = _ask("GET", f"/api/ai/inferences/{row.ai_req_id}/", timeout=2.0)
    except Unavailable:
        if not row.job_id and row.created_at < timezone.now() - SEND_TIME:
            row.fail("CONNECTION_ERROR", "Sending it was interrupted.")
        return
    if state.get("status") == "FAILED":
        error = state.get("error") if isinstance(state.get("error"), dict) else {}
        row.fail(str(error.get("code") or state["status"]), str(error.get("message") or "The job did not complete."))
    elif state.get("status") not in (None, "PENDING"):
        row.status = Status.PROCESSING  # shown, and not stored: only an outcome is
    row.refresh_from_db(fields=("callback_at",))


def mm_inputs(patient: Patient) -> dict[str, Any] | None:
    """Return which results and biomarkers of this patient MM may use, as sluice lists them; None if it does not answer."""
    try:
        return _ask("GET", f"/api/ai/patients/{patient.patient_id}/mm-inputs/", timeout=2.0)
    except Unavailable:
        return None


def send_order(order: BiomarkerOrder) -> None:
    """Send an order's table to sluice, as an upload of kind `biomarker` with the order's fields as labels."""
    labels = [f"{name}={getattr(order, name)}" for name in ("job_role", "job_type", "ocs_status")]
    params = {
        "kind": "biomarker",
        "case_id": order.patient.patient_id,
        "filename": "biomarkers.csv",
        "label": labels,
    }
    with order.table.open("rb") as content:
        upload = _ask("POST", "/v1/uploads", params=params, data=content, headers={"Content-Type": "text/csv"})
    BiomarkerOrder.objects.filter(pk=order.pk).update(upload_id=upload["upload_id"])


def _ask(method: str, path: str, *, timeout: float | None = None, **options: Any) -> dict[str, Any]:
    """Send a request; return the JSON object of the answer. Raises Unavailable."""
    headers = options.pop("headers", {})
    if settings.INFERENCE_TOKEN:
        headers = {**headers, "Authorization": f"Bearer {settings.INFERENCE_TOKEN}"}
    try:
        answer = requests.request(
            method,
            settings.INFERENCE_URL + path,
            timeout=timeout or settings.INFERENCE_TIMEOUT_S,
            headers=headers,
            **options,
        )
        body = answer.json()
    except requests.RequestException:
        raise Unavailable("The inference service does not answer. Try again later.") from None
    if not answer.ok or not isinstance(body, dict):
        said = body if isinstance(body, dict) else {}
        sentences = [said.get("detail") or f"HTTP {answer.status_code}.", said.get("next_step")]
        raise Unavailable(f"The inference service refused: {' '.join(str(each) for each in sentences if each)}")
    return body
