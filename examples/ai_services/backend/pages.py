"""The page of all jobs, and what every page is made with. Pages load nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from backend import jobs
from backend.database import Row
from backend.parts import Db, Part

_FOLDER = Path(__file__).parent
STATIC = _FOLDER / "static"
router = APIRouter()


def environment(parts: Sequence[Part]) -> Environment:
    """Return the templates of the backend and of its parts. Everything that is filled in is escaped."""
    folders = [str(_FOLDER / "templates"), *(part.templates for part in parts if part.templates)]
    made = Environment(loader=FileSystemLoader(folders), autoescape=True, undefined=StrictUndefined)
    made.filters |= {"utc": _utc, "clock": _clock}
    made.globals["parts"] = parts
    return made


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page."""
    made: Environment = request.app.state.pages
    return HTMLResponse(made.get_template(template).render(path=request.url.path, **values), status)


def view(row: Row) -> dict[str, Any]:
    """Return a job as JSON, for a page that follows it."""
    shown = ("part", "title", "state", "progress", "message", "error_code", "error_message")
    return {"id": str(row["id"]), **{name: row[name] for name in shown}}


def _utc(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else ""


def _clock(seconds: float) -> str:
    """Return a place in a film as minutes and seconds."""
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"


@router.get("/", include_in_schema=False)
def index(request: Request, db: Db) -> HTMLResponse:
    return page(request, "index.html", jobs=jobs.newest(db))


@router.get("/jobs")
def list_jobs(request: Request, db: Db, part: str | None = None) -> JSONResponse:
    """List the newest jobs, of all parts or of one; pages ask once a second."""
    for each in request.app.state.pages.globals["parts"]:
        if part in (None, each.name):
            each.refresh(request.app.state)
    return JSONResponse([view(row) for row in jobs.newest(db, part)], headers={"Cache-Control": "no-store"})
