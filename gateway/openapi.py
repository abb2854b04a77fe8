"""The OpenAPI document: every error is declared as a problem, in one place for all routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field

from gateway.problems import MEDIA_TYPE


class ErrorPlace(BaseModel):
    """A field of the request that is wrong. The value is not repeated."""

    loc: list[str | int]
    msg: str


class ProblemDetails(BaseModel):
    """An error (RFC 9457). `code` is for programs, `next_step` for people."""

    type: str = Field(examples=["urn:sluice:problem:not-found"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no such job."])
    code: str = Field(examples=["NOT_FOUND"])
    next_step: str | None
    instance: str | None = None
    errors: list[ErrorPlace] | None = Field(None, description="Of a body or a parameter that does not fit.")


_DESCRIPTIONS = {
    400: "The body is not JSON.",
    401: "There is no valid token.",
    403: "The token lacks a scope.",
    404: "There is no such thing, or it is not yours.",
    408: "The body took too long.",
    409: "The same key came with another input, or the state forbids it.",
    413: "The body or the input is too large.",
    416: "The range begins beyond the file's end.",
    422: "The request does not fit.",
    429: "A quota is used up; `Retry-After` says for how long.",
    500: "The job failed.",
    503: "A dependency does not answer, or a deadline can't be met; `Retry-After` says when to try again.",
    504: "The job reached its time limit.",
}
#: Of every route that needs a token.
_COMMON = (401, 403, 422, 429, 503)
_OF_BODIES = (400, 408, 413)
_RETRY_AFTER = {"Retry-After": {"description": "Seconds until a retry makes sense.", "schema": {"type": "string"}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route for these statuses."""
    return {
        status: {
            "description": _DESCRIPTIONS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
            **({"headers": _RETRY_AFTER} if status in (429, 503) else {}),
        }
        for status in statuses
    }


#: Bodies that a route reads itself, by name.
_BODIES: dict[str, type[BaseModel]] = {}


def body_schema(model: type[BaseModel]) -> dict[str, str]:
    """Return the schema of a body that a route reads itself: a reference to the model, which the document then has."""
    _BODIES[model.__name__] = model
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def json_of(model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a model as the response, checked and encoded once."""
    return Response(model.model_dump_json(), status, dict(headers or {}), "application/json")


class DescribedApp(FastAPI):
    """An application whose document declares its problems. `error_bodies`: what they are replaced by, by prefix of the path."""

    def __init__(self, **described: Any) -> None:
        super().__init__(**described)
        self.error_bodies: dict[str, type[BaseModel]] = {}

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            made = get_openapi(title=self.title, version=self.version, summary=self.summary, routes=self.routes)
            self.openapi_schema = _with_problems(made, self.error_bodies)
        return self.openapi_schema


def _with_problems(document: dict[str, Any], error_bodies: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    errors: list[type[BaseModel]] = [ProblemDetails, *error_bodies.values()]
    for model in errors:
        described = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(described.pop("$defs", {}))
        schemas[model.__name__] = described
    used = str(document["paths"])
    schemas.update({name: model.model_json_schema() for name, model in _BODIES.items() if f"/{name}'" in used})
    for path, operations in document["paths"].items():
        shaped = next((model for prefix, model in error_bodies.items() if path.startswith(prefix)), None)
        for operation in operations.values():
            if "security" in operation:
                declared = problems(*_COMMON, *(_OF_BODIES if "requestBody" in operation else ()))
                operation["responses"].pop("422", None)
                operation["responses"] |= {str(status): each for status, each in declared.items()}
            if shaped is not None:
                _reshape(operation["responses"], shaped)
    return document


def _reshape(responses: dict[str, Any], model: type[BaseModel]) -> None:
    """Let the errors of an operation have this body."""
    body = {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
    for status, answer in responses.items():
        if status >= "400":
            responses[status] = {**answer, "content": body}
