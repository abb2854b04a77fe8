"""A backend that receives callbacks (a real HTTP server on loopback, in the test's event loop), and one try against it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from connectors.callbacks.deliver import Deliverer
from connectors.callbacks.delivery_try import DeliveryTry, OutgoingCallback
from schemas.addresses import AllowRules

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LOCAL = AllowRules.parse("localhost")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Received:
    method: str
    raw_path: str
    headers: dict[str, str]
    body: bytes
    local_address: str
    connection: int


@dataclass
class Backend:
    """The requests that a callback server received, and its port."""

    port: int = 0
    received: list[Received] = field(default_factory=list)

    def url(self, path: str = "/callback", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


async def _ok(request: web.Request) -> web.StreamResponse:
    return web.json_response({"received": True})


@asynccontextmanager
async def serving(
    handler: Handler = _ok, host: str | None = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Backend]:
    backend = Backend()

    async def record(request: web.Request) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        backend.received.append(
            Received(
                request.method,
                request.raw_path,
                dict(request.headers),
                await request.read(),
                transport.get_extra_info("sockname")[0],
                id(transport),
            )
        )
        return await handler(request)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", record)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, host, 0, ssl_context=tls)
    await site.start()
    backend.port = runner.addresses[0][1]
    try:
        yield backend
    finally:
        await runner.cleanup()


def delivery(url: str, body: bytes = b'{"ok":1}', delivery_id: str = "dlv_1") -> OutgoingCallback:
    return OutgoingCallback(delivery_id, url, body)


async def one_try(url: str, rules: AllowRules = LOCAL, **options: Any) -> DeliveryTry:
    async with Deliverer(rules, **options) as deliverer:
        return await deliverer.deliver(delivery(url))


def answering(status: int, body: str = "", **headers: str) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return handle


def run(scenario: Coroutine[Any, Any, Any]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 20))


def try_against(handler: Handler, **options: Any) -> tuple[DeliveryTry, Backend]:
    """Make one try against a backend that answers with `handler`; return the try and that backend."""

    async def scenario() -> tuple[DeliveryTry, Backend]:
        async with serving(handler) as backend:
            return await one_try(backend.url(), **options), backend

    return asyncio.run(asyncio.wait_for(scenario(), 20))
