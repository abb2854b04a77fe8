"""Makes one try of one delivery: resolve, sign, post, classify. The dispatcher (streams/notify) waits between tries
and counts them.

This is the hot path of the notifier, so preparation is done once per URL (`_find_target`).
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from types import TracebackType

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from connectors.callbacks.client import WIRE_ERRORS, Connections, Target, first_lines, post
from connectors.callbacks.connect import Network, guarded_connector, trusted_connector
from connectors.callbacks.connection import HttpConnection, HttpResponse, NoAnswer
from connectors.callbacks.delivery_try import (
    DeliveryTry,
    OutgoingCallback,
    TryResult,
    answer_error,
    result_of,
    retry_after_s,
)
from connectors.callbacks.resolve import backend_origin, host_of, resolve_callback_url, split_url
from connectors.callbacks.sign import Signer
from schemas.addresses import AddressRefused, AllowRules
from schemas.errors import InvalidInput


class Deliverer:
    """Posts callbacks from one event loop. Open it there: `async with Deliverer(...) as deliverer:`."""

    def __init__(
        self,
        rules: AllowRules,
        secrets: Sequence[str] = (),
        backend_url: str | None = None,
        *,
        timeout_s: float = 30.0,
        per_destination: int = 50,
        names_at_once: int = 200,
        tls: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """`backend_url` was configured by the operator, so it is allowed like a host in `rules`. `timeout_s` covers a whole
        try, including the wait for one of the `per_destination` connections: run no more tries than that at a time.
        `names_at_once`: names that the system resolves at a time."""
        self._rules = rules
        self._signer = Signer(secrets)
        self._backend_url = backend_url
        self._backend_origin = None if backend_url is None else backend_origin(backend_url)
        self.timeout_s = timeout_s
        self._network = Network(names_at_once, tls, resolver)
        self._per_destination = per_destination
        self._opened: set[HttpConnection] = set()
        self._target = lru_cache(maxsize=4096)(self._find_target)
        self._connections = lru_cache(maxsize=4096)(self._connections_to)

    async def __aenter__(self) -> Deliverer:
        self._guarded = guarded_connector(self._network, self._rules)
        self._trusted = trusted_connector(self._network)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        self._target.cache_clear()
        self._connections.cache_clear()
        for connection in [*self._opened]:
            connection.close()
        await self._guarded.close()
        await self._trusted.close()

    async def deliver(self, callback: OutgoingCallback) -> DeliveryTry:
        """Make one try. Never raises for anything that the destination does. Cancelling it is safe."""
        began = time.perf_counter()
        try:
            response = await self._post(callback)
        except InvalidInput as error:
            return _failed(began, str(error), TryResult.REFUSED)
        except AddressRefused as error:
            return _failed(began, f"The guard refused the callback: {error}", TryResult.REFUSED)
        except TimeoutError:
            return _failed(began, f"The backend did not answer within {self._limit_s(callback):g} s.")
        except aiohttp.ClientConnectionError as error:
            return _failed(began, f"The backend could not be reached: {_reason(error)}.")
        except ValueError as error:  # a name that no resolver accepts: a label too long, characters outside IDNA
            return _failed(began, f"The callback URL can't be used: {error}.", TryResult.REFUSED)
        except NoAnswer as error:
            return _failed(began, f"The backend gave no usable answer: {error}.")
        except WIRE_ERRORS as error:
            return _failed(began, f"The backend gave no usable answer: {type(error).__name__}: {error}.")
        return _classify(response, began)

    async def _post(self, callback: OutgoingCallback) -> HttpResponse:
        target = self._target(callback.destination)
        body, now = callback.body, int(time.time())
        if isinstance(body, bytes):
            headers = self._signer.headers(callback.delivery_id, now, body)
        else:
            headers = await body.read_by(partial(self._signer.headers_of_parts, callback.delivery_id, now))
        headers["content-type"] = callback.content_type
        if callback.headers:
            headers.update(callback.headers)
        return await post(target, headers, body, self._limit_s(callback))

    def _limit_s(self, callback: OutgoingCallback) -> float:
        return self.timeout_s if callback.timeout_s is None else callback.timeout_s

    def _find_target(self, destination: str) -> Target:
        resolved = resolve_callback_url(destination, self._backend_url)
        scheme, authority, _ = split_url(resolved)
        trusted = f"{scheme}://{authority}" == self._backend_origin or self._rules.allows_host(host_of(authority))
        origin = URL(f"{scheme}://{authority}/")
        return Target(self._connections(origin, trusted), first_lines(resolved, origin))

    def _connections_to(self, origin: URL, trusted: bool) -> Connections:
        connector = self._trusted if trusted else self._guarded
        return Connections(connector, origin, self._per_destination, self._opened)


def _reason(error: aiohttp.ClientConnectionError) -> str:
    """Return host:port and the system's error; aiohttp's text speaks of ssl for plain http too."""
    found = getattr(error, "os_error", None)
    if not isinstance(found, OSError) or not isinstance(error, aiohttp.ClientConnectorError):
        return str(error)
    if isinstance(error, aiohttp.ClientSSLError):
        return str(error)
    text = os.strerror(found.errno) if found.errno is not None and found.errno > 0 else str(found.strerror or found)
    return f"{error.host}:{error.port}: {text}"


def _classify(response: HttpResponse, began: float) -> DeliveryTry:
    result, ms = result_of(response.status), _ms_since(began)
    if result is TryResult.DELIVERED:
        return DeliveryTry(response.status, ms, None, result)
    wait = retry_after_s(response.retry_after, datetime.now(UTC))
    return DeliveryTry(response.status, ms, answer_error(response.status, response.head), result, wait)


def _failed(began: float, error: str, result: TryResult = TryResult.RETRY) -> DeliveryTry:
    return DeliveryTry(None, _ms_since(began), error, result)


def _ms_since(began: float) -> float:
    return (time.perf_counter() - began) * 1000
