"""The pages: résumés and interviews, a résumé's fields, an interview with its questions, answers and scores."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, HTTPException, Request, UploadFile
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import ValidationError

from backend import jobs
from backend.pages import page
from backend.parts import Config, Db, Sluice
from interview import interviews, resumes, routes
from interview.tables import PART

router = APIRouter(include_in_schema=False)
#: Fields of a résumé's entries in the order in which they are shown; jsonb keeps none.
_NAMED = ("title", "institution", "organisation", "name", "degree", "field", "language", "level", "issuer")


@router.get("/interview")
def overview(request: Request, db: Db, problem: str = "") -> HTMLResponse:
    shown = {"resumes": resumes.newest(db), "interviews": interviews.newest(db), "jobs": jobs.newest(db, PART, 20)}
    return page(request, "interview/index.html", problem=problem, **shown)


@router.post("/interview/resumes")
def upload(request: Request, file: UploadFile, db: Db, settings: Config, sluice: Sluice) -> Response:
    try:
        resume = routes.keep_resume(file, db, settings, sluice)
    except HTTPException as error:
        return overview(request, db, str(error.detail))
    return RedirectResponse(f"/interview/resumes/{resume['id']}", 303)


@router.get("/interview/resumes/{resume_id}")
def show_resume(request: Request, resume_id: UUID, db: Db, settings: Config, sluice: Sluice) -> HTMLResponse:
    resume = routes.found_resume(resume_id, db, settings, sluice)
    job = db.row(
        "SELECT j.* FROM interview_tasks t JOIN jobs j ON j.id = t.job_id WHERE t.subject = %s"
        " ORDER BY j.created_at DESC LIMIT 1",
        [resume_id],
    )
    shown = {"lists": resumes.LISTS, "named": _NAMED}
    return page(request, "interview/resume.html", resume=resume, job=job, **shown)


@router.post("/interview/interviews")
def start(
    request: Request,
    db: Db,
    language: Annotated[str, Form()],
    role: Annotated[str, Form()] = "",
    resume_id: Annotated[str, Form()] = "",
) -> Response:
    try:
        body = routes.NewInterview.model_validate({"resume_id": resume_id or None, "language": language, "role": role})
        interview = routes.started(body, db)
    except (ValidationError, HTTPException):
        return overview(request, db, "The interview can't be started like this.")
    return RedirectResponse(f"/interview/interviews/{interview['id']}", 303)


@router.get("/interview/interviews/{interview_id}")
def show(request: Request, interview_id: UUID, db: Db, settings: Config, sluice: Sluice) -> HTMLResponse:
    interview = routes.found_interview(interview_id, db, settings, sluice)
    shown = {"questions": interviews.questions(db, interview_id), "jobs": interviews.unfinished(db, interview_id)}
    return page(request, "interview/interview.html", interview=interview, **shown)


@router.post("/interview/interviews/{interview_id}")
def answer(
    interview_id: UUID,
    db: Db,
    settings: Config,
    sluice: Sluice,
    order: Annotated[int, Form(ge=1, le=1000)],
    text: Annotated[str, Form(alias="answer", min_length=1, max_length=20_000)],
) -> Response:
    routes.answered(interview_id, routes.Answer(order=order, answer=text), db, settings, sluice)
    return RedirectResponse(f"/interview/interviews/{interview_id}", 303)


@router.post("/interview/interviews/{interview_id}/retry")
def retry(interview_id: UUID, db: Db, settings: Config, sluice: Sluice) -> Response:
    routes.found_interview(interview_id, db, settings, sluice, again=True)
    return RedirectResponse(f"/interview/interviews/{interview_id}", 303)


@router.get("/interview/{job_id}")
def of_job(request: Request, job_id: UUID, db: Db) -> Response:
    """Lead from a job of the list to what it is about."""
    task = db.row("SELECT * FROM interview_tasks WHERE job_id = %s", [job_id])
    if task is None:
        return page(request, "missing.html", 404)
    place = "resumes" if task["kind"] == resumes.KIND else "interviews"
    return RedirectResponse(f"/interview/{place}/{task['subject']}", 303)
