"""The part `interview`, for `main.PARTS`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from sluice_client import SluiceError

from backend.parts import Part
from interview import interviews, resumes, routes, tasks, views
from interview.tables import PART, TABLES

router = APIRouter()
router.include_router(routes.router)
router.include_router(views.router)


def _on_start(state: Any) -> None:
    """Go on where a process died: with tasks that were not added yet, and with those that were not submitted."""
    resumes.add_missing_tasks(state.database)
    for interview in state.database.rows("SELECT * FROM interviews WHERE status = 'active'"):
        interviews.advance(state.database, interview)
    try:
        tasks.submit_open(state.database, state.settings, state.sluice)
    except SluiceError:
        tasks.log.error("Sluice does not answer. What is not submitted yet waits.")


INTERVIEW = Part(PART, "Interviews", router, TABLES, str(Path(__file__).parent / "templates"), on_start=_on_start)
