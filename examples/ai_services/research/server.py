"""Everything that speaks with the research service, by the endpoints that Celery's backend had."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx

from backend.settings import Settings

TIMEOUT_S = 10.0
#: Seconds that health may take, by the contract.
HEALTH_TIMEOUT_S = 5.0


class Unavailable(Exception):
    """The service does not answer, or refuses. `code`: for the run's row."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def start(settings: Settings, job_id: UUID, query: str) -> dict[str, Any]:
    """Start a run; return `{"task_id", "status", "message"}`. The same job is the same run. Raises Unavailable."""
    key = {"Idempotency-Key": str(job_id)}
    return _ask(settings, "POST", "/api/research/async", json={"query": query}, headers=key)


def task(settings: Settings, task_id: str) -> dict[str, Any]:
    """Return the state of a task. Raises Unavailable."""
    return _ask(settings, "GET", f"/api/task/{task_id}")


def health(settings: Settings) -> str | None:
    """Return why no run would start now; None if a worker runs."""
    try:
        _ask(settings, "GET", "/api/celery/health", timeout=HEALTH_TIMEOUT_S)
    except Unavailable as error:
        return error.message
    return None


def _ask(settings: Settings, method: str, path: str, timeout: float = TIMEOUT_S, **more: Any) -> dict[str, Any]:
    headers = more.pop("headers", {})
    if settings.gateway_token:
        headers |= {"Authorization": f"Bearer {settings.gateway_token}"}
    try:
        answer = httpx.request(method, settings.gateway_url + path, timeout=timeout, headers=headers, **more)
        body = answer.json()
    except httpx.TimeoutException:
        raise Unavailable("TIMEOUT_ERROR", "The research service did not answer in time.") from None
    except httpx.TransportError:
        raise Unavailable("CONNECTION_ERROR", "The research service can't be reached.") from None
    except ValueError:
        raise Unavailable("SERVER_ERROR", "The research service's answer is no JSON.") from None
    if answer.status_code != 200:
        raise Unavailable(body.get("code", "SERVER_ERROR"), str(body.get("detail", "The research service refused.")))
    return body
