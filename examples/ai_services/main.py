"""A backend of three AI services, each with its own contract and tables: `uvicorn main:create_app --factory --port 8000`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.staticfiles import StaticFiles
from interview.part import INTERVIEW
from research.part import RESEARCH
from sluice_client import Client, Retry

from backend import jobs, pages
from backend.database import Database
from backend.parts import Part
from backend.settings import Settings
from video.part import VIDEO

#: The services. A new one is a folder with a `Part`, and a line here.
PARTS: tuple[Part, ...] = (INTERVIEW, RESEARCH, VIDEO)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application. Its tables are made at its start."""
    settings = settings or Settings.from_environment()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        access = {"token": settings.gateway_token} if settings.gateway_token else {}
        with (
            Database(settings.database_url) as app.state.database,
            Client(settings.gateway_url, retry=Retry(total_s=5), **access) as app.state.sluice,
        ):
            app.state.database.create(jobs.TABLES, *(part.tables for part in PARTS))
            for part in PARTS:
                await run_in_threadpool(part.on_start, app.state)
            yield

    app = FastAPI(title="AI services", lifespan=lifespan)
    app.state.settings = settings
    app.state.pages = pages.environment(PARTS)
    app.mount("/static", StaticFiles(directory=pages.STATIC), name="static")
    app.include_router(pages.router)
    for part in PARTS:
        part.install(app)
        app.include_router(part.router)
    return app
