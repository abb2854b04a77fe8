"""Reads a request for an inference: JSON, or a form with one file. The file is spooled to disk, so memory stays flat."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from gateway.brain_tumour.bodies import InferenceFields, InferenceForm, InferenceRequest
from gateway.json_body import checked, read_json
from gateway.openapi import body_schema
from gateway.problems import Problem
from gateway.upload_service import check_length
from schemas.errors import InvalidInput

#: The form's part that has the file.
FILE = "file"
#: Bytes of each other part.
LARGEST_FIELD = 16 * 1024
#: The body's description: FastAPI does not know a body that the route reads itself.
DESCRIBED = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": body_schema(InferenceRequest)},
            "multipart/form-data": {"schema": body_schema(InferenceForm)},
        },
    }
}


@asynccontextmanager
async def read_request(request: Request, most_bytes: int) -> AsyncIterator[tuple[InferenceFields, UploadFile | None]]:
    """Yield the fields of a request and its file, None without one. The file is closed at the end.

    Raises InvalidInput, RequestValidationError, Problem 400, PayloadTooLarge for a form over `most_bytes`.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        asked = checked(InferenceRequest, await read_json(request))
        yield InferenceFields.model_construct(**asked.model_dump()), None
    elif kind == "multipart/form-data":
        counted = Request(request.scope, _counted(request.receive, most_bytes))
        form = counted.form(max_files=1, max_fields=len(InferenceFields.model_fields), max_part_size=LARGEST_FIELD)
        try:
            async with form as parts:
                yield _of_form(parts.multi_items())
        except ClientDisconnect:
            raise Problem(400, "BAD_REQUEST", "The connection was closed before the whole form had come.") from None
    else:
        raise InvalidInput(
            "The body is neither JSON nor multipart/form-data.",
            next_step="Send `Content-Type: application/json`, or a form with the file: `files={'file': …}` in requests.",
        )


def _of_form(parts: list[tuple[str, UploadFile | str]]) -> tuple[InferenceFields, UploadFile | None]:
    names = [name for name, _ in parts]
    if len(names) > len(set(names)):
        raise InvalidInput("A field of the form comes twice.", next_step="Send each field once.")
    fields = {name: value for name, value in parts if isinstance(value, str) and value}
    files = [(name, value) for name, value in parts if isinstance(value, UploadFile)]
    if FILE in fields or any(name != FILE for name, _ in files):
        raise InvalidInput(f"The form's file is not its part {FILE!r}.", next_step=f"Send the file as {FILE!r}.")
    return checked(InferenceFields, fields), files[0][1] if files else None


def _counted(receive: Receive, most: int) -> Receive:
    """Return a receive that raises PayloadTooLarge once a body has more than `most` bytes."""
    came = 0

    async def counted() -> Message:
        nonlocal came
        message = await receive()
        came += len(message.get("body", b""))
        check_length(came, most)
        return message

    return counted
