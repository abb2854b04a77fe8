"""A backend that reads sheets of handwritten digits. The front end uploads a sheet and polls for the digits."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from sluice_client import Callback, Client, SluiceError, Unreachable
from sluice_client.fastapi import sluice_callback
from sqlmodel import Session, col, desc, select, update

import jobs
from store import OPEN, Inference, InferenceView, create_tables, session

UPLOADS = Path(os.environ.get("UPLOADS", "uploads"))
UPLOADS.mkdir(parents=True, exist_ok=True)
log = logging.getLogger("uvicorn.error")
Db = Annotated[Session, Depends(session)]
Sluice = Annotated[Client, Depends(jobs.client)]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    create_tables()
    if not os.environ.get("SLUICE_CALLBACK_SECRETS"):
        raise RuntimeError("Set SLUICE_CALLBACK_SECRETS, as sluice has it: without it no callback can be verified.")
    with Client(retry=jobs.RETRY) as app.state.sluice:
        await run_in_threadpool(start_unsent, app.state.sluice)
        yield


app = FastAPI(title="digits", lifespan=lifespan)


@app.exception_handler(SluiceError)
def unavailable(_: Request, error: SluiceError) -> JSONResponse:
    return JSONResponse({"detail": "Sheets can't be read now. Try again later."}, 503)


@app.post("/inferences", status_code=202)
def create(sheet: UploadFile, db: Db, sluice: Sluice) -> InferenceView:
    inference = Inference(filename=sheet.filename or "sheet.csv")
    with sheet_of(inference).open("wb") as file:
        shutil.copyfileobj(sheet.file, file)
    db.add(inference)
    db.commit()  # before the submit, because the callback needs the row
    try:
        start_job(db, sluice, inference)
    except FileNotFoundError:
        pass  # a process that has just started was faster: the job is submitted
    except SluiceError:
        db.delete(inference)
        db.commit()
        sheet_of(inference).unlink(missing_ok=True)
        raise
    return inference


@app.get("/inferences")
def newest(db: Db) -> Sequence[InferenceView]:
    return db.exec(select(Inference).order_by(desc(Inference.created_at)).limit(50)).all()


@app.get("/inferences/{inference_id}")
def show(inference_id: str, db: Db, sluice: Sluice) -> InferenceView:
    inference = find(db, inference_id)
    if inference.state in OPEN:
        with suppress(SluiceError):  # then the row shows what is known here
            jobs.refresh(sluice, db, inference)
    return inference


@app.post("/inferences/{inference_id}/cancel", status_code=202)
def cancel(inference_id: str, db: Db, sluice: Sluice) -> InferenceView:
    inference = find(db, inference_id)
    if inference.job_id is not None:
        sluice.cancel(inference.job_id)
    return inference


@app.post("/callbacks/sluice", status_code=204)
def callback(callback: Annotated[Callback, Depends(sluice_callback())], db: Db) -> None:
    jobs.on_callback(db, callback.data)


def find(db: Session, inference_id: str) -> Inference:
    inference = db.get(Inference, inference_id)
    if inference is None:
        raise HTTPException(404, "There is no such inference.")
    return inference


def sheet_of(inference: Inference) -> Path:
    return UPLOADS / f"{inference.id}.csv"


def start_job(db: Session, sluice: Client, inference: Inference) -> None:
    job_id = jobs.start(sluice, inference.id, sheet_of(inference))
    db.exec(update(Inference).where(col(Inference.id) == inference.id).values(job_id=job_id))
    db.commit()  # before the sheet is removed: a process that misses it finds the job in the row
    sheet_of(inference).unlink(missing_ok=True)


def start_unsent(sluice: Client) -> None:
    """Submit what a process had accepted when it died. If it was submitted after all, the same key means the same job."""
    unsent = (col(Inference.state) == "PENDING", col(Inference.job_id).is_(None))
    with contextmanager(session)() as db:
        for inference in db.exec(select(Inference).where(*unsent)).all():
            try:
                start_job(db, sluice, inference)
            except FileNotFoundError:  # another process was faster, or the sheet is lost
                lost = update(Inference).where(*unsent, col(Inference.id) == inference.id)
                db.exec(lost.values(state="FAILED", error="The upload was interrupted. Send the sheet again."))
                db.commit()
            except Unreachable:
                log.error("Sluice can't be reached. What is not submitted yet waits for the next start.")
                return
            except SluiceError as error:
                log.error("Inference %s was not submitted: %s", inference.id, type(error).__name__)
