"""Opens connections: with one connector whose sockets pass the guard, and one for hosts that the operator allowed by name.

The guard runs in aiohttp's `socket_factory`, which gets the address that the socket is then connected to, for names and IP
literals alike (aiohttp does not call its resolver for a literal). The resolver filters too, so that a name with a private and
a public address uses the public one.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from schemas.addresses import AllowRules


class GuardedResolver(AbstractResolver):
    """Resolves with `inner` and keeps the addresses that the rules allow. Raises AddressRefused if none is left."""

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


class SystemResolver(AbstractResolver):
    """Resolves by the system, on threads of its own. A name server that stalls keeps a thread for long, and an event loop has
    few (uvloop four): names of one tenant would keep those of all others waiting."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, "notify-dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        def call() -> list[tuple[Any, ...]]:
            return [*socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)]

        found = await asyncio.get_running_loop().run_in_executor(self._threads, call)
        return [
            ResolveResult(
                hostname=host, host=address[0], port=address[1], family=family_, proto=protocol, flags=_NUMERIC
            )
            for family_, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


@dataclass(frozen=True, slots=True)
class Network:
    """How connections are opened. `names_at_once`: names that the system resolves at a time, if there is no `resolver`. `tls`:
    None means that the certificate authorities of the system are trusted."""

    names_at_once: int
    tls: ssl.SSLContext | None = None
    resolver: AbstractResolver | None = None


def guarded_connector(network: Network, rules: AllowRules) -> aiohttp.TCPConnector:
    """Return a connector that connects to allowed addresses only."""

    def checked_socket(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        rules.check(address[0])
        return socket.socket(family, kind, protocol)

    resolver = GuardedResolver(network.resolver or SystemResolver(network.names_at_once), rules)
    return _connector(network, resolver, checked_socket)


def trusted_connector(network: Network) -> aiohttp.TCPConnector:
    """Return a connector without address checks, for hosts that the operator allowed by name."""
    return _connector(network, network.resolver or SystemResolver(network.names_at_once), None)


def _connector(
    network: Network, resolver: AbstractResolver, socket_factory: Callable[[tuple[Any, ...]], socket.socket] | None
) -> aiohttp.TCPConnector:
    return aiohttp.TCPConnector(
        limit=0,  # client.Connections limits them
        ssl=network.tls or True,
        resolver=resolver,
        socket_factory=socket_factory,
    )
