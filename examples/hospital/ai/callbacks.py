"""Stores what a callback brings: one JSON body, in which files travel as base64.

The keys are those of docs/callback_shapes/brain_tumour.toml; a backend with other keys renames them there or here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.core.files.base import ContentFile
from django.db import transaction
from django.db.models import F
from django.utils.dateparse import parse_datetime

from ai.models import Callback, Inference, Status, ended_or_older

#: A signed callback is accepted if it was sent this many seconds ago at most: an older one may be a recording.
TOLERANCE_S = 300


class Refused(Exception):
    """A callback that can't be stored. `status`: of the HTTP answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def verify(headers: Mapping[str, str], body: bytes, secret: str) -> None:
    """Check the signature of Standard Webhooks (https://www.standardwebhooks.com). Raises Refused (401)."""
    try:
        sent_at = int(headers["webhook-timestamp"])
        signatures = headers["webhook-signature"].split()
        content = f"{headers['webhook-id']}.{sent_at}.".encode() + body
    except (KeyError, ValueError):
        raise Refused(401, "The callback is not signed.") from None
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    if not any(hmac.compare_digest(expected.encode(), each.encode()) for each in signatures):
        raise Refused(401, "The signature is not that of this backend's secret.")
    if abs(time.time() - sent_at) > TOLERANCE_S:
        raise Refused(401, "The callback is too old. Compare the clocks of both machines.")


def store(webhook_id: str, body: Mapping[str, Any]) -> Inference:
    """Store an outcome, with its files, once however often it comes. An older run's outcome never replaces a newer one.

    Raises Refused: 400 for a body of another shape, 404 for an inference that does not exist.
    """
    status, finished_at = _ended(body)
    files = {name: _decoded(name, content) for name, content in _object(body, "files").items()}
    result = _object(body, "result")
    with transaction.atomic():
        inference = _inference(body.get("ai_req_id"))
        callback, is_new = Callback.objects.get_or_create(webhook_id=webhook_id, defaults={"inference": inference})
        if not is_new:
            Callback.objects.filter(pk=callback.pk).update(times=F("times") + 1)
            return inference
        changed = Inference.objects.filter(ended_or_older(finished_at), pk=inference.pk).update(
            status=status,
            finished_at=finished_at,
            callback_at=callback.received_at,
            result=result,
            error_code=str(body.get("error_code") or ""),
            error_message=str(body.get("error_message") or ""),
            job_id=str(body.get("job_id") or inference.job_id),
        )
        if changed:
            inference.files.all().delete()
            for name, content in files.items():
                file = inference.files.model(inference=inference, name=name, size=len(content))
                file.content.save(f"{inference.ai_req_id}-{name}", ContentFile(content))
    inference.refresh_from_db()
    return inference


def _ended(body: Mapping[str, Any]) -> tuple[Status, datetime]:
    status = body.get("status")
    finished_at = parse_datetime(str(body.get("finished_at") or ""))
    if status not in (Status.COMPLETED, Status.FAILED):
        raise Refused(400, "`status` must be COMPLETED or FAILED.")
    if finished_at is None:
        raise Refused(400, "`finished_at` must be a time in ISO 8601.")
    return Status(status), finished_at if finished_at.tzinfo else finished_at.replace(tzinfo=UTC)


def _inference(ai_req_id: object) -> Inference:
    number = str(ai_req_id or "").removeprefix("ai_req_")
    found = Inference.objects.select_for_update().filter(pk=int(number)).first() if number.isdecimal() else None
    if found is None:
        raise Refused(404, "There is no inference with this `ai_req_id`.")
    return found


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name) or {}
    if not isinstance(value, dict):
        raise Refused(400, f"`{name}` must be an object.")
    return value


def _decoded(name: str, content: object) -> bytes:
    if "/" in name or "\\" in name or name.startswith("."):
        raise Refused(400, "The name of a file must have no folder.")
    try:
        return base64.b64decode(str(content), validate=True)
    except (binascii.Error, ValueError):
        raise Refused(400, "A file is not base64.") from None
