"""Access to the polling contract: by the network of the peer, or by Basic credentials whose password is a token of sluice.

Unchanged workers send credentials that stand in their URL: `DJANGO_API_URL=http://lab1:slt_…@host/api/mri`.
"""

from __future__ import annotations

import base64
import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from connectors.access_store import EVERY_TENANT
from gateway.ports import Ports
from gateway.principal import OPEN, Principal, check_scope
from gateway.problems import Problem

#: The name of the principal of a client that is known by its network alone.
BY_NETWORK = "networks"
_SCOPES = frozenset({"submit", "read", "work"})


@dataclass(frozen=True, slots=True)
class Caller:
    """`tenant`: None for every tenant's jobs. `owner`: as leases name it, with the token's name. `peer`: the address that
    connects; of a proxy, if there is one. `agent`: the User-Agent."""

    tenant: str | None
    owner: str
    peer: str
    agent: str


async def let_in(request: Request) -> Principal:
    """Return the principal of a request. Raises Problem 401 and 403; Unreachable."""
    ports: Ports = request.app.state.ports
    settings = ports.settings
    if settings.gateway_mri_networks and not is_within(peer_of(request), settings.gateway_mri_networks):
        raise Problem(403, "FORBIDDEN", "This address may not use the MRI interface.", next_step=_NETWORKS)
    if settings.gateway_mri == "networks":
        principal = Principal(settings.gateway_mri_tenant, _SCOPES, BY_NETWORK)
    elif ports.authenticator is None:
        principal = OPEN
    else:
        principal = await _by_password(request, ports)
    request.state.principal = principal  # for the line in the log
    return principal


_NETWORKS = "Add its network to SLUICE_GATEWAY_MRI_NETWORKS; behind a proxy the address is the proxy's."


async def _by_password(request: Request, ports: Ports) -> Principal:
    name, password = credentials_of(request.headers.get("authorization", ""))
    assert ports.authenticator is not None
    principal = await ports.authenticator.principal(password)
    if principal is None or not secrets.compare_digest(principal.name.encode(), name.encode()):
        raise Problem(
            401,
            "UNAUTHENTICATED",
            "The request has no valid credentials.",
            next_step="Put the token's name and the token into the URL: http://NAME:TOKEN@HOST/api/mri.",
            headers={"WWW-Authenticate": 'Basic realm="sluice", charset="UTF-8"'},
        )
    return principal


def credentials_of(header: str) -> tuple[str, str]:
    """Return user and password of Basic credentials; two empty texts for a header that has none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return (name, password) if colon else ("", "")


def peer_of(request: Request) -> str:
    """Return the address that connected, which no header can change; "" if there is none, as on a Unix socket."""
    peer: str | None = getattr(request.state, "peer", None)
    return (request.client.host if request.client else "") if peer is None else peer


def is_within(address: str, networks: Sequence[str]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return any((mapped or found) in ipaddress.ip_network(network) for network in networks)


def with_scope(name: str, *others: str) -> Callable[..., Awaitable[Caller]]:
    """Return a dependency that yields the caller if it has one of these scopes. It raises Problem 401 and 403."""

    async def checked(request: Request, principal: Annotated[Principal, Depends(let_in)]) -> Caller:
        check_scope(principal, name, *others)
        tenant = None if principal.tenant == EVERY_TENANT else principal.tenant
        owner = f"{principal.tenant}:{principal.name}/polling"
        return Caller(tenant, owner, peer_of(request), request.headers.get("user-agent", ""))

    return checked


Worker = Annotated[Caller, Depends(with_scope("work"))]
Starter = Annotated[Caller, Depends(with_scope("submit"))]
Watcher = Annotated[Caller, Depends(with_scope("read", "work", "submit"))]
