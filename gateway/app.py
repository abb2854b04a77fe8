"""The application: its routes by resource, its errors, and the health of its process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

from fastapi import FastAPI

from gateway import (
    audits,
    batches,
    dead_letters,
    deliveries,
    events,
    explain,
    health,
    jobs,
    lab,
    lab_files,
    problems,
    processors,
    replays,
    results,
    shadow_reports,
    topics,
    uploads,
    uploads_tus,
    verification,
)
from gateway.access_log import AccessLog, RequestLines
from gateway.brain_tumour import routes as brain_tumour
from gateway.http_limits import RequestLimits
from gateway.mri_polling import routes as mri_polling
from gateway.openapi import DescribedApp
from gateway.ports import Ports
from gateway.principal import TokenFirst
from gateway.research import routes as research
from gateway.video import routes as video

#: Modules of routes. Each has a `router`. Those that are called most come first: routes are tried in turn. A door of a system
#: that speaks its own contract is added where a setting opens it.
ROUTES = (
    jobs,
    *(health, replays, batches, deliveries, dead_letters, processors, results, events, explain),
    *(verification, audits, topics, uploads_tus, uploads, lab, lab_files),
    shadow_reports,
)


def create_app(ports: Ports) -> FastAPI:
    """Return the application on these ports. Their tasks run while it runs; the caller closes them."""

    lines = RequestLines()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with closing(lines):
            async with ports.running():
                yield

    app = DescribedApp(
        title="sluice",
        version="1",
        summary="Submit jobs to PyTorch processors, follow them, and fetch their results.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
    )
    app.state.ports = ports
    problems.install(app)
    settings = ports.settings
    app.add_middleware(TokenFirst)
    app.add_middleware(RequestLimits, body_bytes=settings.gateway_body_mib << 20, requests=settings.gateway_requests)
    if settings.gateway_mri != "off":
        mri_polling.install(app, ports)
    if settings.gateway_video:
        video.install(app)
    if settings.gateway_access_log:
        app.add_middleware(AccessLog, lines=lines)
    doors = [brain_tumour] * settings.gateway_brain_tumour + [research] * settings.gateway_research
    for module in (*ROUTES, *doors):
        app.include_router(module.router)
    return app
