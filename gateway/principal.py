"""The principal of a request: a tenant with scopes, by its token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Protocol

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from connectors.access_store import EVERY_TENANT, SCOPES
from gateway.problems import Problem, answer
from schemas.errors import SluiceError

#: The tenant of everyone while SLUICE_GATEWAY_AUTH is `open`.
OPEN_TENANT = "default"

_bearer = HTTPBearer(auto_error=False, description="A token of `sluice tokens create`.")


@dataclass(frozen=True, slots=True)
class Principal:
    """`name`: of the token, for logs."""

    tenant: str
    scopes: frozenset[str]
    name: str = ""


class Authenticator(Protocol):
    async def principal(self, token: str) -> Principal | None:
        """Return the principal of a valid token, else None. Raises Unreachable."""
        ...


OPEN = Principal(OPEN_TENANT, frozenset(SCOPES), "open")


async def authenticated(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> Principal:
    """Return the request's principal. Raises Problem 401."""
    token = None if credentials is None else credentials.credentials
    authenticator: Authenticator | None = request.app.state.ports.authenticator
    request.state.principal = principal = await _principal(authenticator, token)
    if authenticator is not None and token is not None:
        request.state.still_allowed = partial(_is_valid, authenticator, token)
    return principal


async def _principal(authenticator: Authenticator | None, token: str | None) -> Principal:
    principal = OPEN if authenticator is None else None
    if authenticator is not None and token is not None:
        principal = await authenticator.principal(token)
    if principal is None:
        raise Problem(
            401,
            "UNAUTHENTICATED",
            "The request has no valid token.",
            next_step="Send `Authorization: Bearer TOKEN`; `sluice tokens create` makes one.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return principal


#: Paths of routes that need a token.
_PATHS = ("/v1/", "/api/ai/")


class TokenFirst:
    """Refuses a request without a valid token before its body is read: FastAPI reads and parses it before any dependency."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(_PATHS) and _has_body(headers := Headers(scope=scope)):
            scheme, token = get_authorization_scheme_param(headers.get("authorization"))
            try:
                await _principal(scope["app"].state.ports.authenticator, token if scheme.lower() == "bearer" else None)
            except SluiceError as error:
                refusal = answer(error)
                if not _is_small(headers):
                    refusal.headers["Connection"] = "close"  # the rest is not waited for
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _is_small(headers: Headers) -> bool:
    length = headers.get("content-length", "")
    return length.isdecimal() and len(length) < 6


async def _is_valid(authenticator: Authenticator, token: str) -> bool:
    """Return False once a token is revoked or has expired; True while nothing is known, because the database is away."""
    try:
        return await authenticator.principal(token) is not None
    except SluiceError:
        return True


def scope(name: str, *others: str) -> Callable[[Principal], Awaitable[Principal]]:
    """Return a dependency that yields the principal if its token has one of these scopes. It raises Problem 401 and 403."""

    async def checked(principal: Annotated[Principal, Depends(authenticated)]) -> Principal:
        return check_scope(principal, name, *others)

    return checked


def check_scope(principal: Principal, name: str, *others: str) -> Principal:
    """Return the principal if its token has one of these scopes. Raises Problem 403."""
    if principal.scopes.isdisjoint({name, *others}):
        raise Problem(
            403,
            "FORBIDDEN",
            f"The token lacks the scope {name!r}.",
            next_step=f"Make one with `sluice tokens create --scope {name}`.",
        )
    return principal


_may_submit = scope("submit")


async def submitter(request: Request) -> Principal:
    """Return the principal of a submit, as `CanSubmit` does. Raises Problem 401 and 403."""
    return await _may_submit(await authenticated(request, await _bearer(request)))


CanSubmit = Annotated[Principal, Depends(_may_submit)]
CanRead = Annotated[Principal, Depends(scope("read"))]
CanReadUpload = Annotated[Principal, Depends(scope("read", "upload"))]
CanCancel = Annotated[Principal, Depends(scope("cancel"))]
CanUpload = Annotated[Principal, Depends(scope("upload"))]
CanWork = Annotated[Principal, Depends(scope("work"))]
CanOperate = Annotated[Principal, Depends(scope("operate"))]


async def of_every_tenant(principal: CanOperate) -> Principal:
    """Return the principal if it may see the records of all tenants. Raises Problem 403."""
    if principal.tenant != EVERY_TENANT:
        raise Problem(
            403,
            "FORBIDDEN",
            "This shows the records of all tenants, and the token has one.",
            next_step='Make a token with `sluice tokens create NAME --tenant "*" --scope operate`.',
        )
    return principal


CanOperateAll = Annotated[Principal, Depends(of_every_tenant)]
