"""The Celery app and its task. Start a worker: celery -A tasks worker --concurrency 1"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import worker_process_init

from model import BadSheet, DigitModel, read_sheet

REDIS = os.environ.get("REDIS_URL", "redis://localhost:6379/0")

celery = Celery(
    "tasks",
    broker=os.environ.get("CELERY_BROKER_URL", REDIS),
    backend=os.environ.get("CELERY_RESULT_BACKEND", REDIS),
)
celery.conf.update(
    task_serializer="json",
    accept_content=["json"],
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_track_started=True,
    task_soft_time_limit=50,
    task_time_limit=60,
    worker_prefetch_multiplier=1,
    result_expires=86_400,
)


@cache
def model() -> DigitModel:
    return DigitModel.load(Path(__file__).parent / "weights" / "digits.json")


@worker_process_init.connect
def load(**_: Any) -> None:
    model()


@celery.task(autoretry_for=(OSError,), retry_backoff=True, max_retries=3, throws=(BadSheet,))
def read_digits(path: str) -> dict[str, Any]:
    found = [model().read(image) for image in read_sheet(Path(path))]
    return {
        "digits": "".join(str(digit) for digit, _ in found),
        "probabilities": [round(share, 4) for _, share in found],
    }
