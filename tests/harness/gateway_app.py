"""The gateway's application on twins in memory, for tests that talk to it by httpx."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from gateway.app import create_app
from gateway.ports import Ports
from streams import wiring
from streams.admin import topics
from streams.settings import Settings


def memory_settings(home: Path, **changes: Any) -> Settings:
    """Return settings of an installation in memory of its own: topics made, schemas registered."""
    name = f"memory:{uuid.uuid4().hex}"
    settings = Settings(
        kafka_bootstrap_servers=name,
        schema_registry_url=name,
        database_url=SecretStr(name),
        home=home,
        objects_url="",
        partitions=2,
        gateway_auth="open",
        **changes,
    )
    topics.apply(settings, wiring.contracts(settings))
    return settings


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[httpx.AsyncClient, Ports]]:
    """Yield a client of a gateway with these settings, and its ports. The client gets whole responses, no streams."""
    with closing(Ports(settings)) as ports:
        app = create_app(ports)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
        ):
            yield client, ports
