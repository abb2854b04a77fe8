"""Access for clients that can't send a token as a header: it may also be the password of Basic credentials.

Such a client has the credentials in its URL: `http://NAME:TOKEN@HOST:9000`, with the token's name as the user.
"""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBasic, HTTPBasicCredentials, HTTPBearer

from gateway.ports import P
from gateway.principal import OPEN, Principal, check_scope
from gateway.problems import Problem

_bearer = HTTPBearer(auto_error=False, description="A token of `sluice tokens create`.")
_basic = HTTPBasic(auto_error=False, description="A token's name and the token.")


async def let_in(
    request: Request,
    ports: P,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    basic: Annotated[HTTPBasicCredentials | None, Security(_basic)],
) -> Principal:
    """Return the principal of a token, sent as Bearer or as a Basic password. Raises Problem 401; Unreachable."""
    authenticator = ports.authenticator
    principal = OPEN if authenticator is None else None
    if authenticator is not None and bearer is not None:
        principal = await authenticator.principal(bearer.credentials)
    elif authenticator is not None and basic is not None:
        found = await authenticator.principal(basic.password)
        if found is not None and secrets.compare_digest(found.name.encode(), basic.username.encode()):
            principal = found
    if principal is None:
        raise Problem(
            401,
            "UNAUTHENTICATED",
            "The request has no valid credentials.",
            next_step="Put the token's name and the token into the URL (http://NAME:TOKEN@HOST:9000), or send "
            "`Authorization: Bearer TOKEN`; `sluice tokens create` makes one.",
            headers={"WWW-Authenticate": 'Basic realm="sluice", charset="UTF-8"'},
        )
    request.state.principal = principal  # for the line in the log
    return principal


async def _submitter(principal: Annotated[Principal, Depends(let_in)]) -> Principal:
    return check_scope(principal, "submit")


async def _reader(principal: Annotated[Principal, Depends(let_in)]) -> Principal:
    return check_scope(principal, "read")


CanSubmitByUrl = Annotated[Principal, Depends(_submitter)]
CanReadByUrl = Annotated[Principal, Depends(_reader)]
