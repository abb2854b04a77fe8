"""Everything that speaks with the ML server, as this backend did before sluice took its place."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx

from backend.settings import Settings

#: Seconds for the request. It only accepts: how long the film is does not matter.
TIMEOUT_S = 300.0
STATUS_TIMEOUT_S = 3.0


class Refused(Exception):
    """The ML server does not answer, or refuses. `code`: for the job's row."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def request_processing(settings: Settings, job_id: UUID, video_url: str, language: str) -> None:
    """Ask for a film to be processed. Raises Refused."""
    body = {
        "job_id": str(job_id),
        "video_url": video_url,
        "fastapi_base_url": settings.backend_url,
        "language": language,
        "enable_gpu": True,
        "emotion_detection": True,
        "max_workers": 4,
    }
    _ask(settings, "POST", "/api/upload-video/process-video", TIMEOUT_S, json=body)


def ask_for_status(settings: Settings, job_id: UUID) -> dict[str, Any]:
    """Return the body of the callback as it would be now. Raises Refused."""
    return _ask(settings, "GET", f"/api/upload-video/status/{job_id}", STATUS_TIMEOUT_S)


def _ask(settings: Settings, method: str, path: str, timeout: float, **more: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {settings.gateway_token}"} if settings.gateway_token else {}
    try:
        answer = httpx.request(method, settings.gateway_url + path, timeout=timeout, headers=headers, **more)
        body = answer.json()
    except httpx.TimeoutException:
        raise Refused("TIMEOUT_ERROR", "The ML server did not answer in time.") from None
    except httpx.TransportError:
        raise Refused("CONNECTION_ERROR", "The ML server can't be reached.") from None
    except ValueError:
        raise Refused("ML_SERVER_ERROR", "The ML server's answer is no JSON.") from None
    if answer.status_code != 200:
        raise Refused(body["error"]["code"], body["message"])  # the shape of every error of this server
    return body
