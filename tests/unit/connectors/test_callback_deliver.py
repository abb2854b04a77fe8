"""Tries of deliveries against real HTTP servers: the request that is sent, and the result of each response."""

from __future__ import annotations

import asyncio
import email.utils
import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from standardwebhooks import Webhook

from connectors.callbacks.deliver import Deliverer
from connectors.callbacks.delivery_try import TryResult
from schemas.addresses import AllowRules
from tests.harness.callback_server import (
    LOCAL,
    SECRET,
    answering,
    delivery,
    one_try,
    run,
    serving,
    try_against,
)


def test_a_callback_arrives_signed_with_its_body_path_and_query_untouched() -> None:
    async def scenario() -> None:
        async with serving() as backend, Deliverer(LOCAL, [SECRET]) as deliverer:
            body = json.dumps({"message": "종양 검출", "n": 1}).encode()
            tried = await deliverer.deliver(delivery(backend.url("/a%2Fb/../c;p=1/?q=%20x&y=a+b"), body))
            assert (tried.status, tried.result, tried.error) == (200, TryResult.DELIVERED, None)
            assert tried.ms > 0
            (received,) = backend.received
            assert received.method == "POST"
            assert received.raw_path == "/a%2Fb/../c;p=1/?q=%20x&y=a+b"
            assert received.body == body
            assert received.headers["Content-Type"] == "application/json"
            assert Webhook(SECRET).verify(received.body, received.headers) == json.loads(body)

    run(scenario())


def test_loopback_is_rewritten_to_the_configured_backend_which_is_always_allowed() -> None:
    async def scenario() -> None:
        async with serving() as backend:
            tried = await one_try("http://localhost:8000/api/x/?a=1", AllowRules(), backend_url=backend.url(""))
            assert tried.result is TryResult.DELIVERED
            assert backend.received[0].raw_path == "/api/x/?a=1"

    run(scenario())


def test_connections_are_kept_and_reused() -> None:
    async def scenario() -> None:
        async with serving() as backend, Deliverer(LOCAL) as deliverer:
            for number in range(5):
                await deliverer.deliver(delivery(backend.url(), delivery_id=f"dlv_{number}"))
            assert len(backend.received) == 5
            assert len({received.connection for received in backend.received}) == 1

    run(scenario())


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_delivered(status: int) -> None:
    tried, _ = try_against(answering(status))
    assert (tried.status, tried.result) == (status, TryResult.DELIVERED)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 422, 425, 429, 500, 502, 503, 504])
def test_a_temporary_error_is_retried_and_quotes_the_backend(status: int) -> None:
    tried, _ = try_against(answering(status, body="no\nsuch\x00 route"))
    assert (tried.status, tried.result) == (status, TryResult.RETRY)
    assert tried.error == f"The backend answered {status}, an error: no such route"


def test_status_410_means_that_the_destination_is_gone() -> None:
    tried, _ = try_against(answering(410))
    assert (tried.status, tried.result) == (410, TryResult.GONE)


def test_retry_after_in_seconds_is_reported() -> None:
    tried, _ = try_against(answering(503, Retry_After="7"))
    assert tried.retry_after_s == 7.0


def test_retry_after_as_a_date_is_reported() -> None:
    date = email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    tried, _ = try_against(answering(429, Retry_After=date))
    assert tried.retry_after_s == pytest.approx(90, abs=5)


def test_only_the_beginning_of_a_failed_response_is_kept() -> None:
    tried, _ = try_against(answering(500, body="x" * 1_000_000))
    assert tried.error is not None
    assert 1000 < len(tried.error) < 1200


def test_a_backend_that_never_answers_costs_the_timeout_and_no_more() -> None:
    async def never(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    began = time.perf_counter()
    tried, _ = try_against(never, timeout_s=0.2)
    assert (tried.status, tried.result) == (None, TryResult.RETRY)
    assert "within 0.2 s" in str(tried.error)
    assert time.perf_counter() - began < 5


def test_a_2xx_whose_body_never_ends_counts_as_delivered() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"{")
        await asyncio.Event().wait()
        raise AssertionError

    tried, _ = try_against(endless, timeout_s=0.2)
    assert (tried.status, tried.result) == (200, TryResult.DELIVERED)


def test_a_cancelled_delivery_leaves_the_deliverer_usable() -> None:
    async def scenario() -> None:
        arrived = asyncio.Event()

        async def hold_the_first(request: web.Request) -> web.StreamResponse:
            if request.raw_path == "/held":
                arrived.set()
                await asyncio.Event().wait()
            return web.Response()

        async with serving(hold_the_first) as backend, Deliverer(LOCAL, per_destination=1) as deliverer:
            task = asyncio.create_task(deliverer.deliver(delivery(backend.url("/held"))))
            await arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await deliverer.deliver(delivery(backend.url()))).result is TryResult.DELIVERED

    run(scenario())


def test_no_more_connections_are_opened_to_a_destination_than_allowed() -> None:
    async def scenario() -> None:
        open_now = peak = 0
        full = asyncio.Event()

        async def count(request: web.Request) -> web.StreamResponse:
            nonlocal open_now, peak
            open_now += 1
            peak = max(peak, open_now)
            if open_now == 3:
                full.set()
            await full.wait()
            open_now -= 1
            return web.Response()

        async with serving(count) as backend, Deliverer(LOCAL, per_destination=3) as deliverer:
            tries = await asyncio.gather(*(deliverer.deliver(delivery(backend.url())) for _ in range(12)))
        assert {tried.result for tried in tries} == {TryResult.DELIVERED}
        assert peak == 3

    run(scenario())
