"""Destinations that a callback reaches and does not reach, checked at the backends."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from connectors.callbacks.deliver import Deliverer
from connectors.callbacks.delivery_try import TryResult
from schemas.addresses import AllowRules
from tests.harness.callback_server import (
    LOCAL,
    answering,
    delivery,
    one_try,
    run,
    serving,
    try_against,
)


class Answers(AbstractResolver):
    """Resolves every name to the next of the given address lists, and counts the calls."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        addresses = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in addresses
        ]

    async def close(self) -> None:
        return None


def test_another_port_of_the_backends_host_is_not_allowed_with_it() -> None:
    async def scenario() -> None:
        resolver = Answers(["127.0.0.1"])
        async with serving() as backend, serving() as neighbour:
            url = f"http://backend.example:{neighbour.port}/cb"
            tried = await one_try(
                url, AllowRules(), backend_url=f"http://backend.example:{backend.port}", resolver=resolver
            )
            assert tried.result is TryResult.REFUSED
            assert neighbour.received == []

    run(scenario())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failed_try_and_is_not_followed(status: int) -> None:
    tried, backend = try_against(answering(status, Location="/elsewhere"))
    assert (tried.status, tried.result) == (status, TryResult.RETRY)
    assert "redirect" in str(tried.error)
    assert [received.raw_path for received in backend.received] == ["/callback"]


LOOPBACK_LITERALS = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0.0.0.0",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "localhost",
    "１２７.0.0.1",
]


@pytest.mark.parametrize("host", LOOPBACK_LITERALS)
def test_loopback_is_refused_in_every_spelling_unless_it_is_allowed(host: str) -> None:
    async def scenario() -> None:
        async with serving() as backend:
            tried = await one_try(backend.url(host=host), AllowRules())
            assert (tried.status, tried.result) == (None, TryResult.REFUSED), tried
            assert tried.error
            assert backend.received == []

    run(scenario())


def test_a_refusal_names_the_setting_that_would_allow_it() -> None:
    tried = asyncio.run(one_try("http://169.254.169.254/latest/meta-data/", AllowRules()))
    assert tried.result is TryResult.REFUSED
    assert "169.254.169.254" in str(tried.error)
    assert "SLUICE_CALLBACK_ALLOW" in str(tried.error)


def test_a_name_that_resolves_to_a_private_address_is_refused() -> None:
    async def scenario() -> None:
        async with serving() as backend:
            url = backend.url(host="innocent.example")
            tried = await one_try(url, AllowRules(), resolver=Answers(["127.0.0.1"]))
            assert tried.result is TryResult.REFUSED
            assert backend.received == []

    run(scenario())


def test_a_name_with_only_private_addresses_is_refused_however_many_there_are() -> None:
    async def scenario() -> None:
        async with serving(host="0.0.0.0") as backend:
            url = backend.url(host="innocent.example")
            tried = await one_try(url, AllowRules(), resolver=Answers(["127.0.0.1", "127.0.0.2"]))
            assert tried.result is TryResult.REFUSED
            assert backend.received == []

    run(scenario())


def test_allowing_localhost_does_not_allow_other_names_for_it() -> None:
    async def scenario() -> None:
        async with serving() as backend:
            tried = await one_try(backend.url(host="innocent.example"), LOCAL, resolver=Answers(["127.0.0.1"]))
            assert tried.result is TryResult.REFUSED
            assert backend.received == []

    run(scenario())


def test_the_address_that_was_checked_is_the_one_connected_to() -> None:
    """Rebinding: the first answer is allowed, every later one is not. The connection goes to the first."""

    async def scenario() -> None:
        resolver = Answers(["127.0.0.2"], ["127.0.0.1"])
        rules = AllowRules.parse("127.0.0.2")
        async with serving(host="0.0.0.0") as backend, Deliverer(rules, resolver=resolver) as deliverer:
            tried = await deliverer.deliver(delivery(backend.url(host="rebinds.example")))
            assert tried.result is TryResult.DELIVERED
            assert resolver.asked == 1
            assert [received.local_address for received in backend.received] == ["127.0.0.2"]

    run(scenario())


def test_a_name_that_rebinds_between_two_deliveries_is_refused_at_the_second() -> None:
    async def scenario() -> None:
        resolver = Answers(["127.0.0.2"], ["127.0.0.1"])
        rules = AllowRules.parse("127.0.0.2")
        async with (
            serving(host="0.0.0.0") as first,
            serving(host="0.0.0.0") as second,
            Deliverer(rules, resolver=resolver) as deliverer,
        ):
            tries = [await deliverer.deliver(delivery(at.url(host="rebinds.example"))) for at in (first, second)]
            assert [tried.result for tried in tries] == [TryResult.DELIVERED, TryResult.REFUSED]
            assert second.received == []

    run(scenario())


def test_a_name_with_a_private_and_an_allowed_address_goes_to_the_allowed_one() -> None:
    async def scenario() -> None:
        rules = AllowRules.parse("127.0.0.2")
        async with serving(host="0.0.0.0") as backend:
            url = backend.url(host="mixed.example")
            tried = await one_try(url, rules, resolver=Answers(["127.0.0.1", "127.0.0.2"]))
            assert tried.result is TryResult.DELIVERED
            assert [received.local_address for received in backend.received] == ["127.0.0.2"]

    run(scenario())


def test_a_host_that_the_operator_allowed_may_resolve_to_any_address() -> None:
    async def scenario() -> None:
        async with serving() as backend:
            url = backend.url(host="api.corp.example")
            tried = await one_try(url, AllowRules.parse("*.corp.example"), resolver=Answers(["127.0.0.1"]))
            assert tried.result is TryResult.DELIVERED

    run(scenario())


def test_proxies_from_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with serving() as proxy, serving() as backend:
            monkeypatch.setenv("HTTP_PROXY", proxy.url(""))
            monkeypatch.setenv("http_proxy", proxy.url(""))
            monkeypatch.setenv("ALL_PROXY", proxy.url(""))
            tried = await one_try(backend.url())
            assert tried.result is TryResult.DELIVERED
            assert (len(proxy.received), len(backend.received)) == (0, 1)

    run(scenario())


@pytest.mark.parametrize(
    "url", ["ftp://host/", "http://user:pw@127.0.0.1/", "http://" + "a" * 64 + ".example/", "nonsense"]
)
def test_a_url_that_can_never_work_is_refused_and_not_retried(url: str) -> None:
    tried = asyncio.run(one_try(url))
    assert (tried.status, tried.result) == (None, TryResult.REFUSED)
    assert tried.error


def test_a_name_that_does_not_resolve_is_retried() -> None:
    class Nowhere(Answers):
        async def resolve(self, *arguments: Any, **options: Any) -> list[ResolveResult]:
            raise OSError(None, "Name or service not known")

    tried = asyncio.run(one_try("http://nowhere.example/", resolver=Nowhere()))
    assert tried.result is TryResult.RETRY
