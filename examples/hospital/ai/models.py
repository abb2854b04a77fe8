"""The tables: patients, their biomarker orders, inferences with their files, and the callbacks that came."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone


class Status(models.TextChoices):
    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class Model(models.TextChoices):
    M1 = "M1", "M1: MR volume"
    MG = "MG", "MG: gene expression"
    MM = "MM", "MM: multimodal"


OPEN = (Status.PENDING, Status.PROCESSING)
#: Orders that MM may use. The old code forgot `job_role` and RESULT_READY.
ELIGIBLE = {"job_role": "LIS", "job_type": "BIOMARKER", "ocs_status__in": ("CONFIRMED", "RESULT_READY")}


class Patient(models.Model):
    patient_id = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=255)


class BiomarkerOrder(models.Model):
    """A laboratory's order and its table of proteins."""

    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="orders")
    job_role = models.CharField(max_length=16)
    job_type = models.CharField(max_length=16)
    ocs_status = models.CharField(max_length=16)
    table = models.FileField(upload_to="biomarkers/")
    #: The upload that sluice made of it; empty if it has none yet.
    upload_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    @property
    def eligible(self) -> bool:
        return BiomarkerOrder.objects.filter(pk=self.pk, **ELIGIBLE).exists()


class Inference(models.Model):
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="inferences")
    model = models.CharField(max_length=2, choices=Model)
    status = models.CharField(max_length=16, choices=Status, default=Status.PENDING)
    #: M1: the MR volume. MG: the table of genes. MM has none of its own.
    input = models.FileField(upload_to="inputs/", blank=True)
    #: MM: which results and which order a person chose.
    chosen = models.JSONField(default=dict)
    result = models.JSONField(default=dict)
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.TextField(blank=True)
    #: Sluice's job; empty until it has taken the request.
    job_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    #: When the job ended, by sluice's clock, and when its callback arrived here.
    finished_at = models.DateTimeField(null=True)
    callback_at = models.DateTimeField(null=True)

    @property
    def ai_req_id(self) -> str:
        return f"ai_req_{self.pk:04}"

    @property
    def open(self) -> bool:
        return self.status in OPEN

    @property
    def seconds(self) -> float | None:
        """Seconds from the request to the callback."""
        return (self.callback_at - self.created_at).total_seconds() if self.callback_at else None

    def file(self, *, begins: str, ends: str) -> ResultFile | None:
        """Return the first file of the result whose name begins and ends like this."""
        return next(
            (each for each in self.files.all() if each.name.startswith(begins) and each.name.endswith(ends)), None
        )

    def fail(self, code: str, message: str) -> bool:
        """End an open inference that will get no callback. Returns False if it had ended."""
        changed = Inference.objects.filter(pk=self.pk, status__in=OPEN).update(
            status=Status.FAILED, error_code=code, error_message=message, finished_at=timezone.now()
        )
        self.refresh_from_db()
        return bool(changed)

    def as_json(self) -> dict[str, Any]:
        """Return what the front end sees. Times are UTC, ISO 8601."""
        return {
            "id": self.ai_req_id,
            "model": self.model,
            "patient_id": self.patient.patient_id,
            "status": self.status,
            "result": self.result or None,
            "files": [each.as_json() for each in self.files.all()],
            "error": {"code": self.error_code, "message": self.error_message} if self.status == Status.FAILED else None,
            "created_at": _iso(self.created_at),
            "finished_at": _iso(self.finished_at),
            "callback_at": _iso(self.callback_at),
        }


class ResultFile(models.Model):
    """A file that a callback carried."""

    inference = models.ForeignKey(Inference, on_delete=models.CASCADE, related_name="files")
    name = models.CharField(max_length=255)
    content = models.FileField(upload_to="results/%Y/%m/%d/")
    size = models.PositiveBigIntegerField()

    class Meta:
        ordering = ("name",)
        constraints = (models.UniqueConstraint("inference", "name", name="one_file_of_a_name"),)

    @property
    def picture(self) -> bool:
        return self.name.endswith(".png")

    @property
    def url(self) -> str:
        return f"/files/{self.pk}/"

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "size": self.size, "url": self.url}


class Callback(models.Model):
    """A callback that was stored. Its id is the same however often sluice sends it."""

    webhook_id = models.CharField(max_length=255, unique=True)
    inference = models.ForeignKey(Inference, on_delete=models.CASCADE, related_name="callbacks")
    received_at = models.DateTimeField(default=timezone.now)
    #: Times that it came, the first included.
    times = models.PositiveIntegerField(default=1)


def ended_or_older(finished_at: Any) -> Q:
    """Return the condition under which an outcome is stored: the row is open, or has the outcome of an earlier run."""
    return Q(status__in=OPEN) | Q(finished_at__isnull=True) | Q(finished_at__lt=finished_at)


def _iso(time: Any) -> str | None:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z") if time else None
