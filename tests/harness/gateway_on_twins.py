"""A backend at one of the gateway's compatible doors, on twins: a flow, and one gateway in front of it for all visits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any, Self

import httpx

from gateway.principal import Principal
from streams.testing import Flow
from tests.harness.gateway_app import serving


class TenantTokens:
    """Lets tenants in by their names, and refuses the token "wrong". Every token has the name `backend`."""

    async def principal(self, token: str) -> Principal | None:
        return None if token == "wrong" else Principal(token, frozenset({"read", "submit", "upload"}), "backend")


class GatewayOnTwins:
    """A context manager. `changes`: settings of the gateway; without others it asks for no token."""

    def __init__(self, flow: Flow, **changes: Any) -> None:
        self._open = ExitStack()
        self.flow = self._open.enter_context(flow)
        self.settings = self.flow.settings.model_copy(update={"gateway_auth": "open", **changes})
        self._runner = self._open.enter_context(asyncio.Runner())
        self._serving = serving(self.settings)
        self.client, self.ports = self._runner.run(self._serving.__aenter__())
        self._open.callback(lambda: self._runner.run(self._serving.__aexit__(None, None, None)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def visit(self, use: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
        """Call the gateway on its event loop."""

        async def used() -> Any:
            return await use(self.client)

        return self._runner.run(used())

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer: httpx.Response = self.visit(lambda client: client.request(method, path, **more))
        return answer
