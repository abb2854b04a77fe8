"""The endpoints of the old backend, under this backend's own ids, and the pages."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from backend import jobs
from backend.pages import page
from backend.parts import Config, Db
from research import runs, server

router = APIRouter()
_STATES = {"PENDING": "pending", "PROCESSING": "progress", "COMPLETED": "success", "FAILED": "failure"}


class Query(BaseModel):
    query: str = Field(min_length=1, max_length=4000)


@router.post("/api/research/async")
def start(body: Query, db: Db, settings: Config) -> dict[str, str]:
    """Start a run; the front end follows it at `/api/task/{task_id}`."""
    try:
        job_id = runs.start(db, settings, body.query)
    except server.Unavailable as error:
        raise HTTPException(503, error.message) from None
    return {"task_id": str(job_id), "status": "processing", "message": "Research has started."}


@router.get("/api/task/{task_id}")
def task(task_id: str, request: Request, db: Db) -> dict[str, Any]:
    """Return a task. An unknown id is pending, as in Celery."""
    try:
        job_id = UUID(task_id)
    except ValueError:
        return {"task_id": task_id, "status": "pending"}
    runs.refresh(request.app.state)
    run = runs.find(db, job_id)
    state = "pending" if run is None else _STATES[run["state"]]
    found: dict[str, Any] = {"task_id": task_id, "status": state}
    if run is not None and state == "progress":
        found["message"] = run["message"]
    if run is not None and state == "success":
        found["result"] = run["result"]
    if run is not None and state == "failure":
        found["error"] = run["error_message"]
    return found


@router.get("/api/celery/health")
def health(settings: Config) -> JSONResponse:
    if (why := server.health(settings)) is not None:
        return JSONResponse({"status": "error", "message": why}, 503)
    return JSONResponse({"status": "ok", "message": "Celery worker is running"})


@router.get("/research", include_in_schema=False)
def overview(request: Request, db: Db, problem: str = "", query: str = "") -> HTMLResponse:
    runs.refresh(request.app.state)
    return page(request, "research/index.html", jobs=jobs.newest(db, runs.PART), problem=problem, query=query)


@router.post("/research", include_in_schema=False)
def ask(request: Request, db: Db, settings: Config, query: Annotated[str, Form(max_length=4000)]) -> Response:
    try:
        job_id = runs.start(db, settings, query)
    except server.Unavailable as error:
        return overview(request, db, error.message, query)
    return RedirectResponse(f"/research/{job_id}", 303)


@router.get("/research/{job_id}", include_in_schema=False)
def report(request: Request, job_id: UUID, db: Db) -> HTMLResponse:
    runs.refresh(request.app.state)
    if (run := runs.find(db, job_id)) is None:
        return page(request, "missing.html", 404)
    return page(request, "research/run.html", job=run)
