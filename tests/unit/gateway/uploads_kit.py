"""Calls a gateway in memory, and looks at what its object store holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from gateway.ports import Ports
from tests.harness.gateway_app import memory_settings, serving

Use = Callable[[httpx.AsyncClient, Ports], Awaitable[Any]]


def run(home: Path, use: Use, **changes: Any) -> Any:
    async def used() -> Any:
        async with serving(memory_settings(home, **changes)) as (client, ports):
            return await use(client, ports)

    return asyncio.run(used())


def stored(home: Path) -> list[str]:
    """Return the stored files, by their path in the store."""
    root = home / "objects"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()) if root.exists() else []


async def asgi(
    client: httpx.AsyncClient,
    method: str,
    path: str,
    messages: list[dict[str, Any]],
    headers: dict[str, str] | None = None,
) -> list[Any]:
    """Call the client's application with these messages; return what it sent."""
    transport: Any = client._transport
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0) if messages else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("gateway", 80),
        "client": ("127.0.0.1", 1),
        "root_path": "",
    }
    await transport.app(scope, receive, send)
    return sent
