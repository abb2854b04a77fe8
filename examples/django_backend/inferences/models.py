"""The table of inferences."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.db import models
from django.db.models import Q


class Status(models.TextChoices):
    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


OPEN = (Status.PENDING, Status.PROCESSING)


class Inference(models.Model):
    #: Sluice knows the inference by this key. A number would start again with a new database, and mean another job there.
    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    filename = models.CharField(max_length=255)
    status = models.CharField(max_length=16, choices=Status, default=Status.PENDING)
    result = models.JSONField(null=True)
    error = models.TextField(blank=True)
    job_id = models.CharField(max_length=36, blank=True)
    run = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    def as_json(self) -> dict[str, Any]:
        """Return what the front end sees."""
        return {
            "id": f"ai_req_{self.pk:04}",
            "filename": self.filename,
            "status": self.status,
            "result": self.result,
            "error": self.error or None,
            "created_at": self.created_at.isoformat(),
        }


def set_ended(key: str, run: int, status: Status, result: Mapping[str, Any] | None, error: str) -> None:
    """Store how a run ended. Does nothing if that is stored: a callback may come twice, and a poll may come before it."""
    Inference.objects.filter(Q(status__in=OPEN) | Q(run__lt=run), key=key).update(
        run=run, status=status, result=result, error=error
    )
