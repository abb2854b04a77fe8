"""Errors as problem details (RFC 9457). Every error that a client sees is made here.

{"type": "urn:sluice:problem:not-found", "title": "Not found", "status": 404, "detail": …, "code": "NOT_FOUND", "next_step": …}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from schemas.errors import ErrorCode, SluiceError
from streams import logs
from streams.health.loop_threads import frames_of

log = logs.get("gateway")

MEDIA_TYPE = "application/problem+json"
#: Statuses of the codes of our error tree; any other code is a fault of the gateway, 500.
STATUS = {
    ErrorCode.USAGE: 422,
    ErrorCode.INVALID_INPUT: 422,
    ErrorCode.UNKNOWN_PROCESSOR: 422,
    ErrorCode.CLAIM_MISMATCH: 422,
    ErrorCode.PAYLOAD_TOO_LARGE: 413,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.CONFLICT: 409,
    ErrorCode.UNREACHABLE: 503,
    ErrorCode.CONNECTION_ERROR: 503,
}
#: Codes of errors that only HTTP has, by status.
_HTTP_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "PAYLOAD_TOO_LARGE",
    422: "INVALID_INPUT",
    503: "OVERLOADED",
}
#: Seconds after which a client may ask again while a dependency is away.
RETRY_AFTER_S = 2
_BAD_JSON = "json_invalid"
_JSON_HEADER = "Send the header `Content-Type: application/json`."


class ProblemResponse(JSONResponse):
    """A problem as JSON. A name that the client sent may hold half of a surrogate pair, which UTF-8 can't."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


class Problem(SluiceError):
    """An error that only HTTP has. `code`: for programs, upper case. `retry_after_s`: sent as Retry-After.

    `extra`: further members of the body.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        next_step: str | None = None,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail, next_step=next_step)
        self.status = status
        self.problem_code = code
        self.retry_after_s = retry_after_s
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})


def body(status: int, code: str, detail: str, next_step: str | None = None, **extra: Any) -> dict[str, Any]:
    """Return the members of a problem."""
    return {
        "type": f"urn:sluice:problem:{code.lower().replace('_', '-')}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "code": code,
        "next_step": next_step,
        **extra,
    }


def response(
    status: int,
    code: str,
    detail: str,
    next_step: str | None = None,
    headers: Mapping[str, str] | None = None,
    **extra: Any,
) -> JSONResponse:
    content = body(status, code, detail, next_step, **extra)
    return ProblemResponse(content, status, headers=dict(headers or {}))


def install(app: FastAPI) -> None:
    """Let the app answer every error with a problem."""
    app.add_exception_handler(SluiceError, _of_our_tree)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(Exception, _unforeseen)


async def _of_our_tree(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SluiceError)
    return answer(error)


def answer(error: SluiceError) -> JSONResponse:
    """Return the problem of an error."""
    if isinstance(error, Problem):
        headers = dict(error.headers)
        if error.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
        return response(error.status, error.problem_code, error.message, error.next_step, headers, **error.extra)
    status = STATUS.get(error.code, 500)
    if status == 500:
        log.error("request_failed", code=error.code, frames=frames_of(error))
        return _internal()
    wait = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None
    return response(status, error.code, error.message, error.next_step, wait)


async def _of_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = _HTTP_CODES.get(error.status_code) or HTTPStatus(error.status_code).name
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods(request))) or headers.get("Allow", "")
    return response(error.status_code, code, str(error.detail), headers=headers)


def _methods(request: Request) -> set[str]:
    """Return the methods of a path: each has a route of its own, and the error names those of the first only."""
    paths: Mapping[str, Mapping[str, Any]] = request.app.openapi()["paths"]
    methods = paths.get(request.url.path) or next(
        (found for path, found in paths.items() if _pattern(path).fullmatch(request.url.path)), {}
    )
    return {method.upper() for method in methods}


@cache
def _pattern(path: str) -> re.Pattern[str]:
    return re.compile("[^/]+".join(re.escape(part) for part in re.split(r"\{[^}]*\}", path)))


async def _of_validation(_: Request, error: Exception) -> JSONResponse:
    """Name the fields that are wrong, never their values: they may be a patient's."""
    assert isinstance(error, RequestValidationError)
    errors: Sequence[Mapping[str, Any]] = error.errors()
    if isinstance(error.body, bytes):  # it was not read, because its type is not JSON
        return response(422, "INVALID_INPUT", "The body is not declared as JSON.", _JSON_HEADER, errors=[])
    status, code = (400, "BAD_REQUEST") if any(each["type"] == _BAD_JSON for each in errors) else (422, "INVALID_INPUT")
    found = [{"loc": list(each["loc"]), "msg": str(each["msg"])} for each in errors]
    return response(status, code, "The request does not match the interface.", "See `errors`.", errors=found)


async def _unforeseen(_: Request, error: Exception) -> JSONResponse:
    return unforeseen(error)


def unforeseen(error: Exception) -> JSONResponse:
    """Log an error that nothing expects, without its text, and return its problem."""
    log.error("request_failed", reason=type(error).__name__, frames=frames_of(error))
    return _internal()


def _internal() -> JSONResponse:
    return response(500, ErrorCode.INTERNAL, "The gateway failed at this request; its log has the reason.")
