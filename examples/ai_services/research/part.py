"""The part `research`, for `main.PARTS`."""

from __future__ import annotations

from pathlib import Path

from backend.parts import Part
from research import routes, runs

RESEARCH = Part(
    runs.PART,
    "Research",
    routes.router,
    runs.TABLES,
    str(Path(__file__).parent / "templates"),
    on_start=runs.send_unsent,
    refresh=runs.refresh,
)
