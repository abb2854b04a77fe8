"""The backend's own contract (`request-process`), the callback of the ML server, and the pages."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from backend import jobs
from backend.callbacks import CallbackBody
from backend.pages import page, view
from backend.parts import Config, Db
from video import films
from video.server import Refused

router = APIRouter()
Language = Annotated[str, Field(max_length=17)]


class ProcessRequest(BaseModel):
    fileKey: str = Field(min_length=1, max_length=1000)
    language: Language = "auto"


@router.post("/api/upload-video/request-process")
def request_process(body: ProcessRequest, db: Db, settings: Config) -> Response:
    """Start the analysis of a film of the folder; the front end follows it at `/api/upload-video/jobs/{job_id}`."""
    try:
        job_id = films.start(db, settings, body.fileKey, body.language)
    except films.NoSuchFilm:
        raise HTTPException(404, "There is no such film.") from None
    except Refused as error:
        return JSONResponse({"message": error.message, "error": {"code": error.code}}, 502)
    return JSONResponse({"job_id": str(job_id), "status": "processing"})


@router.post("/api/upload-video/result", status_code=204)
async def result(body: CallbackBody, db: Db) -> None:
    """Take what the ML server reports: progress, then the result or an error."""
    try:
        await run_in_threadpool(films.take, db, body)
    except KeyError as error:
        raise HTTPException(422, f"The callback has no {error}.") from None
    except LookupError:
        raise HTTPException(404, "There is no such job.") from None


@router.get("/api/upload-video/jobs/{job_id}")
def show(job_id: UUID, db: Db, settings: Config) -> dict[str, object]:
    """Return a job with its result, for the front end, which polls."""
    if (job := jobs.find(db, job_id, films.PART)) is None:
        raise HTTPException(404, "There is no such job.")
    job = films.refreshed(db, settings, job)
    return {**view(job), "result": job["result"]}


@router.get("/video", include_in_schema=False)
def overview(request: Request, db: Db, settings: Config, problem: str = "") -> HTMLResponse:
    found = jobs.newest(db, films.PART)
    return page(request, "video/index.html", jobs=found, films=films.keys(settings), problem=problem)


@router.post("/video", include_in_schema=False)
def start(
    request: Request, db: Db, settings: Config, file_key: Annotated[str, Form()], language: Annotated[str, Form()]
) -> Response:
    try:
        job_id = films.start(db, settings, file_key, language)
    except films.NoSuchFilm:
        return overview(request, db, settings, "There is no such film.")
    except Refused as error:
        return overview(request, db, settings, error.message)
    return RedirectResponse(f"/video/{job_id}", 303)


@router.get("/video/{job_id}", include_in_schema=False)
def transcript(request: Request, job_id: UUID, db: Db, settings: Config) -> HTMLResponse:
    if (job := jobs.find(db, job_id, films.PART)) is None:
        return page(request, "missing.html", 404)
    film = db.row("SELECT * FROM videos WHERE job_id = %s", [job_id])
    return page(request, "video/transcript.html", job=films.refreshed(db, settings, job), film=film)
