"""The short way of a submit through FastAPI."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from gateway.models import SubmitJob
from gateway.principal import submitter
from streams.client.job_options import LONGEST_ID

JSON = "application/json"


class SubmitRoute(APIRoute):
    """Handles a well-formed submit without FastAPI's dependencies and checks: on an idle machine they cost 0.4 ms, a third of
    what the gateway adds to a job's latency (docs/adr/0039). Anything else goes the usual way, which also describes what is
    wrong with it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        usual = super().get_route_handler()

        async def handled(request: Request) -> Response:
            key = request.headers.get("idempotency-key")
            body = await _body(request) if key is None or 0 < len(key) <= LONGEST_ID else None
            if body is None:
                return await usual(request)
            principal = await submitter(request)
            answer: Response = await self.endpoint(request.app.state.ports, principal, body, key)
            return answer

        return handled


async def _body(request: Request) -> SubmitJob | None:
    """Return the body; None if it is not a valid submit as JSON. What was read of it stays with the request."""
    if request.headers.get("content-type") != JSON:
        return None
    try:
        return SubmitJob.model_validate(await request.json())
    except (ValueError, RecursionError, ClientDisconnect):
        return None
