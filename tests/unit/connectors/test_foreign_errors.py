"""Every error of obstore, httpx2 and aiohttp leaves the connectors as an error of our tree, or as the result of a try."""

from __future__ import annotations

import asyncio
import types
from typing import Any

import aiohttp
import httpx2
import obstore.exceptions
import pytest
from aiohttp import client_exceptions, http_exceptions

from connectors.callbacks.deliver import Deliverer
from connectors.callbacks.delivery_try import DeliveryTry, TryResult
from connectors.objects import ObjectStore
from connectors.registry import HttpRegistry
from schemas.errors import JobError, Unreachable, UsageError
from tests.harness.callback_server import LOCAL, delivery

#: Raised only for streamed bodies, cookies and websockets, which the connectors do not use.
NOT_USED = {httpx2.StreamError, httpx2.CookieConflict, aiohttp.WSMessageTypeError}


def errors_of(*modules: types.ModuleType) -> list[type[Exception]]:
    found = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Exception) and not issubclass(value, tuple(NOT_USED))
    }
    return sorted(found, key=lambda cls: (cls.__module__, cls.__name__))


def made(cls: type[Exception]) -> Exception:
    """An instance of an error class, whatever arguments its constructor takes."""
    plain: dict[str, Any] = {"__init__": lambda self: None, "__str__": lambda self: "broken"}
    error: Exception = type(cls.__name__, (cls,), plain)()
    return error


@pytest.mark.parametrize("cls", errors_of(obstore.exceptions), ids=lambda cls: cls.__name__)
def test_every_error_of_obstore_is_an_error_of_the_job(cls: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    store = ObjectStore("memory://")

    def fail(*_: object) -> None:
        raise cls("broken")

    monkeypatch.setattr(store, "_open", fail)
    for call in (lambda: store.put_bytes(b"x"), lambda: store.get_named("a"), lambda: store.delete_named("a")):
        with pytest.raises(JobError, match="broken"):
            call()


@pytest.mark.parametrize("cls", errors_of(httpx2), ids=lambda cls: cls.__name__)
def test_every_error_of_httpx2_is_an_unreachable_registry_or_a_wrong_address(
    cls: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = HttpRegistry("http://localhost:1", sleep=lambda seconds: None)

    def fail(*_: object, **__: object) -> None:
        raise made(cls)

    monkeypatch.setattr(registry._client, "request", fail)
    with pytest.raises(UsageError if cls is httpx2.InvalidURL else Unreachable):
        registry.subjects()


@pytest.mark.parametrize(
    "url", ["http://host:abc", "http://[::1/", "http://host:99999", "ftp://host", "http://ex\0ample"]
)
def test_a_registry_address_that_is_no_url_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match="schema registry"):
        HttpRegistry(url).subjects()


@pytest.mark.parametrize("cls", errors_of(client_exceptions, http_exceptions), ids=lambda cls: cls.__name__)
def test_every_error_of_aiohttp_is_the_result_of_a_try(cls: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise made(cls)

    async def attempt() -> DeliveryTry:
        async with Deliverer(LOCAL) as deliverer:
            return await deliverer.deliver(delivery("http://localhost:1/"))

    monkeypatch.setattr("connectors.callbacks.deliver.post", fail)
    tried = asyncio.run(attempt())
    assert tried.status is None
    assert tried.error is not None
    assert tried.result in (TryResult.RETRY, TryResult.REFUSED)
