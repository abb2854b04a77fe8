"""Reads JSON bodies in a route, after the request's access was checked: FastAPI parses a body before any dependency runs."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from gateway.http_limits import SMALL, too_large
from gateway.problems import Problem

T = TypeVar("T", bound=BaseModel)


async def read_json(request: Request) -> Any:
    """Return the body of a request, parsed. Raises Problem 400, and HTTPException 413 above `SMALL` bytes."""
    data = bytearray()
    try:
        async for chunk in request.stream():
            data += chunk
            if len(data) > SMALL:
                raise too_large(SMALL)
        return json.loads(data)
    except ClientDisconnect:
        raise Problem(400, "BAD_REQUEST", "The connection was closed before the whole body had come.") from None
    except (ValueError, RecursionError):
        raise Problem(400, "BAD_REQUEST", "The body is not JSON.", next_step="Send a JSON object.") from None


def checked(model: type[T], fields: Any) -> T:
    """Return the fields as this model. Raises RequestValidationError, which names the fields of the body and no value."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in found]) from None
