"""A backend that reads sheets of handwritten digits. The front end uploads a sheet and polls for the digits."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from celery.result import AsyncResult
from fastapi import Depends, FastAPI, HTTPException, UploadFile
from sqlmodel import Session, desc, select

from store import Inference, InferenceView, create_tables, session
from tasks import celery, read_digits

UPLOADS = Path(os.environ.get("UPLOADS", "uploads"))
UPLOADS.mkdir(parents=True, exist_ok=True)
#: Celery's states, as the front end knows them.
STATES = {
    "STARTED": "PROCESSING",
    "RETRY": "PROCESSING",
    "SUCCESS": "COMPLETED",
    "FAILURE": "FAILED",
    "REVOKED": "CANCELLED",
}
OPEN = ("PENDING", "PROCESSING")
Db = Annotated[Session, Depends(session)]


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    create_tables()
    yield


app = FastAPI(title="digits", lifespan=lifespan)


@app.post("/inferences", status_code=202)
def create(sheet: UploadFile, db: Db) -> InferenceView:
    inference = Inference(filename=sheet.filename or "sheet.csv")
    with sheet_of(inference).open("wb") as file:
        shutil.copyfileobj(sheet.file, file)
    db.add(inference)
    db.commit()
    inference.task_id = read_digits.delay(str(sheet_of(inference))).id
    db.commit()
    return inference


@app.get("/inferences")
def newest(db: Db) -> Sequence[InferenceView]:
    return db.exec(select(Inference).order_by(desc(Inference.created_at)).limit(50)).all()


@app.get("/inferences/{inference_id}")
def show(inference_id: str, db: Db) -> InferenceView:
    inference = find(db, inference_id)
    if inference.state in OPEN:
        refresh(db, inference)
    return inference


@app.post("/inferences/{inference_id}/cancel", status_code=202)
def cancel(inference_id: str, db: Db) -> InferenceView:
    inference = find(db, inference_id)
    celery.control.revoke(inference.task_id, terminate=True)
    return inference


def find(db: Session, inference_id: str) -> Inference:
    inference = db.get(Inference, inference_id)
    if inference is None:
        raise HTTPException(404, "There is no such inference.")
    return inference


def sheet_of(inference: Inference) -> Path:
    return UPLOADS / f"{inference.id}.csv"


def refresh(db: Session, inference: Inference) -> None:
    """Copy the state of the task into the row."""
    task = AsyncResult(inference.task_id, app=celery)
    inference.state = STATES.get(task.state, "PENDING")
    if inference.state == "COMPLETED":
        inference.digits, inference.probabilities = task.result["digits"], task.result["probabilities"]
    elif inference.state == "FAILED":
        inference.error = str(task.result)
    db.commit()
