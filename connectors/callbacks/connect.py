"""Two pools of connections: one whose sockets pass the guard, and one for hosts that the operator named.

The guard sits in aiohttp's `socket_factory`, which is handed the very address the socket is then connected to, names and IP
literals alike (aiohttp's resolver is never asked for a literal). The resolver filters as well, so that a name with a
private and a public address goes to the public one.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from connectors.callbacks.guard import AllowRules


class GuardedResolver(AbstractResolver):
    """Asks `inner`, and keeps only the answers the rules allow. Raises AddressRefused when none is left."""

    def __init__(self, inner: AbstractResolver, rules: AllowRules) -> None:
        self._inner = inner
        self._rules = rules

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        answers = await self._inner.resolve(host, port, family)
        allowed = [answer for answer in answers if self._rules.allows_address(answer["host"])]
        if answers and not allowed:
            self._rules.check(answers[0]["host"])
        return allowed

    async def close(self) -> None:
        await self._inner.close()


#: A connection idle for longer is not used again. Below the 5 s after which common servers hang up (uvicorn's default), so
#: that a callback seldom meets a connection that is just being closed.
KEEP_ALIVE_S = 4.0


@dataclass(frozen=True, slots=True)
class Pool:
    """How many connections: in all and to one host and port, of each of the two pools. `tls`: whom to trust; None means the
    system's certificate authorities."""

    max_connections: int
    per_destination: int
    tls: ssl.SSLContext | None = None
    resolver: AbstractResolver | None = None


def guarded_connector(pool: Pool, rules: AllowRules) -> aiohttp.TCPConnector:
    """Connects to allowed addresses only."""

    def checked_socket(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        rules.check(address[0])
        return socket.socket(family, kind, protocol)

    resolver = GuardedResolver(pool.resolver or aiohttp.ThreadedResolver(), rules)
    return _connector(pool, resolver, checked_socket)


def trusted_connector(pool: Pool) -> aiohttp.TCPConnector:
    """For destinations the operator named: wherever they resolve to is where they go."""
    return _connector(pool, pool.resolver or aiohttp.ThreadedResolver(), None)


def _connector(
    pool: Pool, resolver: AbstractResolver, socket_factory: Callable[[tuple[Any, ...]], socket.socket] | None
) -> aiohttp.TCPConnector:
    return aiohttp.TCPConnector(
        limit=pool.max_connections,
        limit_per_host=pool.per_destination,
        keepalive_timeout=KEEP_ALIVE_S,
        ssl=pool.tls or True,
        resolver=resolver,
        socket_factory=socket_factory,
    )
