"""The body of a callback from sluice, verified."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from sluice_client.callbacks import verify
from sluice_client.errors import BadSignature

from backend.parts import Config


async def _verified(request: Request, settings: Config) -> dict[str, Any]:
    """Return the JSON object of a callback. It is verified if SLUICE_CALLBACK_SECRETS is set, as sluice has it."""
    body = await request.body()
    if settings.callback_secret:
        try:
            verify(request.headers, body, settings.callback_secret)
        except BadSignature as error:
            raise HTTPException(401, str(error)) from None
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise HTTPException(400, "The callback is not a JSON object.")
    return found


#: The parameter of a route that sluice calls.
CallbackBody = Annotated[dict[str, Any], Depends(_verified)]
