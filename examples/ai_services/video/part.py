"""The part `video`, for `main.PARTS`."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from backend.parts import Part
from video import films, routes


def _install(app: FastAPI) -> None:
    """Serve the films, where workers fetch them. Put them behind signed addresses where others can reach this backend."""
    folder = films.folder(app.state.settings)
    folder.mkdir(parents=True, exist_ok=True)
    app.mount("/files", StaticFiles(directory=folder), name="files")


VIDEO = Part(
    "video",
    "Video analysis",
    routes.router,
    films.TABLES,
    str(Path(__file__).parent / "templates"),
    _install,
    films.send_unsent,
)
