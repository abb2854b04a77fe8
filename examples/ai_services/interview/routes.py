"""The backend's own contract: résumés and interviews, polled by the front end every 2 s; and the callback of sluice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter, HTTPException, UploadFile
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field
from sluice_client import Client, SluiceError

from backend.callbacks import CallbackBody
from backend.database import Database, Row
from backend.parts import Config, Db, Sluice
from backend.settings import Settings
from interview import interviews, resumes, tasks

router = APIRouter()
LARGEST = 20 << 20
SUFFIXES = (".pdf", ".docx")


class NewInterview(BaseModel):
    resume_id: UUID | None = None
    language: Literal["en", "ko"] = "en"
    role: str = Field("", max_length=200)


class Answer(BaseModel):
    order: int = Field(ge=1, le=1000)
    answer: str = Field(min_length=1, max_length=20_000)


@router.post("/resumes", status_code=201)
def upload(file: UploadFile, db: Db, settings: Config, sluice: Sluice) -> dict[str, Any]:
    """Take a PDF or DOCX file. The answer is `pending`; poll `GET /resumes/{id}`."""
    return resume_view(keep_resume(file, db, settings, sluice))


@router.get("/resumes/{resume_id}")
def show_resume(resume_id: UUID, db: Db, settings: Config, sluice: Sluice) -> dict[str, Any]:
    return resume_view(found_resume(resume_id, db, settings, sluice))


@router.post("/interviews", status_code=201)
def start(body: NewInterview, db: Db) -> dict[str, Any]:
    """Start an interview. Its first two questions are there at once."""
    return interview_view(db, started(body, db))


@router.get("/interviews/{interview_id}")
def show_interview(interview_id: UUID, db: Db, settings: Config, sluice: Sluice) -> dict[str, Any]:
    return interview_view(db, found_interview(interview_id, db, settings, sluice))


@router.post("/interviews/{interview_id}/answers")
def answer(interview_id: UUID, body: Answer, db: Db, settings: Config, sluice: Sluice) -> dict[str, Any]:
    """Store the answer to a question. Its score and the next question come by themselves."""
    return interview_view(db, answered(interview_id, body, db, settings, sluice))


@router.post("/interviews/{interview_id}/retry")
def retry(interview_id: UUID, db: Db, settings: Config, sluice: Sluice) -> dict[str, Any]:
    """Repeat what has failed: the next question, or scores."""
    return interview_view(db, found_interview(interview_id, db, settings, sluice, again=True))


@router.post(tasks.CALLBACK, status_code=204)
async def callback(body: CallbackBody, db: Db, settings: Config, sluice: Sluice) -> None:
    """Take the outcome of a task: sluice's standard event."""
    try:
        await run_in_threadpool(_take, db, settings, sluice, body)
    except KeyError as error:
        raise HTTPException(422, f"The callback has no {error}.") from None
    except LookupError:
        raise HTTPException(404, "There is no such task.") from None


def _take(db: Database, settings: Settings, sluice: Client, body: dict[str, Any]) -> None:
    if body["type"] == "job.progress":
        return
    task = tasks.take(db, body["data"])
    if interview := interviews.find(db, task["subject"]):
        interviews.advance(db, interview)
        _submit(db, settings, sluice)


def keep_resume(file: UploadFile, db: Database, settings: Settings, sluice: Client) -> Row:
    name = (file.filename or "").rpartition("/")[2]
    document = file.file.read(LARGEST + 1)
    if not name.lower().endswith(SUFFIXES):
        raise HTTPException(415, "A résumé is a PDF or DOCX file.")
    if not document or len(document) > LARGEST:
        raise HTTPException(413, f"A résumé has 1 byte to {LARGEST >> 20} MiB.")
    resume_id = resumes.create(db, settings, name, document)
    _submit(db, settings, sluice)
    return _known(resumes.find(db, resume_id), "résumé")


def found_resume(resume_id: UUID, db: Database, settings: Settings, sluice: Client) -> Row:
    resume = _known(resumes.find(db, resume_id), "résumé")
    if resume["processing_status"] != "pending":
        return resume
    _refresh(db, settings, sluice, resume_id)
    return _known(resumes.find(db, resume_id), "résumé")


def started(body: NewInterview, db: Database) -> Row:
    if body.resume_id is not None:
        _known(resumes.find(db, body.resume_id), "résumé")
    interview_id = interviews.start(db, body.language, body.role, body.resume_id)
    return _known(interviews.find(db, interview_id), "interview")


def found_interview(
    interview_id: UUID, db: Database, settings: Settings, sluice: Client, *, again: bool = False
) -> Row:
    interview = _known(interviews.find(db, interview_id), "interview")
    _refresh(db, settings, sluice, interview_id)
    interviews.advance(db, _known(interviews.find(db, interview_id), "interview"), again=again)
    _submit(db, settings, sluice)
    return interviews.find(db, interview_id) or interview


def answered(interview_id: UUID, body: Answer, db: Database, settings: Settings, sluice: Client) -> Row:
    interview = _known(interviews.find(db, interview_id), "interview")
    if not interviews.answer(db, interview_id, body.order, body.answer):
        raise HTTPException(409, "This question is not there, or has an answer already.")
    interviews.advance(db, interview)
    _submit(db, settings, sluice)
    return interviews.find(db, interview_id) or interview


def _submit(db: Database, settings: Settings, sluice: Client) -> None:
    """Submit open tasks. While sluice is away they wait: the next request, or the next start, submits them."""
    try:
        tasks.submit_open(db, settings, sluice)
    except SluiceError:
        tasks.log.warning("Sluice does not answer. What is not submitted yet waits.")


def _refresh(db: Database, settings: Settings, sluice: Client, subject: UUID) -> None:
    _submit(db, settings, sluice)
    try:
        tasks.refresh(db, sluice, subject)
    except SluiceError:
        tasks.log.warning("Sluice does not answer. The row shows what is known here.")


def _known(row: Row | None, what: str) -> Row:
    if row is None:
        raise HTTPException(404, f"There is no such {what}.")
    return row


def resume_view(resume: Row) -> dict[str, Any]:
    """Return a résumé as the front end knows it."""
    return {**resume, "id": str(resume["id"]), "created_at": resume["created_at"].isoformat()}


def interview_view(db: Database, interview: Row) -> dict[str, Any]:
    """Return an interview with its questions, and the jobs that it waits for."""
    waits: Sequence[Row] = interviews.unfinished(db, interview["id"])
    fields = ("order", "question_type", "stage", "text", "source", "reason", "answer", "evaluation")
    return {
        "id": str(interview["id"]),
        "resume_id": str(interview["resume_id"]) if interview["resume_id"] else None,
        **{name: interview[name] for name in ("language", "role", "status")},
        "questions": [{name: row[name] for name in fields} for row in interviews.questions(db, interview["id"])],
        "waiting_for": [{"title": job["title"], "state": job["state"], "error": job["error_message"]} for job in waits],
    }
