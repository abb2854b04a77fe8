"""Servers that hang up, send nonsense, flood or use TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest
from aiohttp import web

from connectors.callbacks.connection import MAX_ANSWER
from connectors.callbacks.deliver import Deliverer
from connectors.callbacks.delivery_try import DeliveryTry, OutgoingCallback, TryResult
from tests.harness.callback_server import (
    LOCAL,
    delivery,
    one_try,
    run,
    serving,
    try_against,
)

CERTIFICATE = Path(__file__).with_name("localhost.pem")  # made for these tests; its key is public


def test_an_endless_response_is_cut_off() -> None:
    sent = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b"x" * MAX_ANSWER)
            sent += MAX_ANSWER
        return response

    tried, _ = try_against(flood)
    assert tried.result is TryResult.DELIVERED
    assert sent < 1000 * MAX_ANSWER


def test_a_refused_connection_is_retried() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        tried = asyncio.run(one_try(f"http://127.0.0.1:{port}/cb"))
    assert (tried.status, tried.result) == (None, TryResult.RETRY)
    assert tried.error == f"The backend could not be reached: 127.0.0.1:{port}: Connection refused."


def test_a_backend_that_hangs_up_is_retried() -> None:
    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    tried, _ = try_against(hang_up)
    assert (tried.status, tried.result) == (None, TryResult.RETRY)


async def raw_answer(answer: bytes) -> DeliveryTry:
    """Make one try against a server that sends exactly `answer` and hangs up."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        return await one_try(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")


def test_bytes_that_are_not_http_are_retried() -> None:
    tried = asyncio.run(raw_answer(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"))
    assert (tried.status, tried.result) == (None, TryResult.RETRY)
    assert "no usable answer" in str(tried.error)


def test_interim_answers_are_passed_over() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    tried = asyncio.run(raw_answer(hints + b"HTTP/1.1 204 No Content\r\n\r\n"))
    assert (tried.status, tried.result) == (204, TryResult.DELIVERED)


def test_an_answer_of_headers_without_end_is_retried() -> None:
    tried = asyncio.run(raw_answer(b"HTTP/1.1 200 OK\r\n" + b"X-Long: 1\r\n" * 100_000))
    assert (tried.status, tried.result) == (None, TryResult.RETRY)


def test_an_old_servers_answer_without_a_length_is_understood() -> None:
    tried = asyncio.run(raw_answer(b"HTTP/1.0 500 Oops\r\n\r\nout of cheese"))
    assert (tried.status, tried.result) == (500, TryResult.RETRY)
    assert "out of cheese" in str(tried.error)


def test_the_status_of_a_response_that_breaks_off_counts() -> None:
    tried = asyncio.run(raw_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"))
    assert (tried.status, tried.result) == (200, TryResult.DELIVERED)


def test_a_backend_that_closes_its_connections_costs_no_delivery() -> None:
    async def closing(request: web.Request) -> web.StreamResponse:
        response = web.Response()
        response.force_close()
        return response

    async def scenario() -> None:
        async with serving(closing) as backend, Deliverer(LOCAL) as deliverer:
            tries = [await deliverer.deliver(delivery(backend.url())) for _ in range(5)]
        assert {tried.result for tried in tries} == {TryResult.DELIVERED}

    run(scenario())


@pytest.mark.parametrize("content_type", ["text/plain\r\nX-Injected: 1", "text/plain\n", "텍스트"])
def test_a_content_type_can_not_inject_headers(content_type: str) -> None:
    async def scenario() -> None:
        async with serving() as backend, Deliverer(LOCAL) as deliverer:
            tried = await deliverer.deliver(OutgoingCallback("dlv_1", backend.url(), b"", content_type))
            assert tried.result is TryResult.REFUSED
            assert backend.received == []

    run(scenario())


def test_a_path_outside_ascii_arrives_as_utf8() -> None:
    async def scenario() -> None:
        async with serving() as backend:
            assert (await one_try(backend.url("/결과?이름=가#조각"))).result is TryResult.DELIVERED
            assert backend.received[0].raw_path == "/%EA%B2%B0%EA%B3%BC?%EC%9D%B4%EB%A6%84=%EA%B0%80"

    run(scenario())


def tls_server() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def test_a_certificate_of_an_unknown_authority_is_refused() -> None:
    async def scenario() -> None:
        async with serving(tls=tls_server()) as backend:
            tried = await one_try(f"https://localhost:{backend.port}/cb")
            assert (tried.status, tried.result) == (None, TryResult.RETRY)
            assert "certificate" in str(tried.error)
            assert backend.received == []

    run(scenario())


def test_a_callback_uses_tls_and_checks_the_name_in_the_certificate() -> None:
    async def scenario() -> None:
        trust = ssl.create_default_context(cafile=CERTIFICATE)
        async with serving(tls=tls_server()) as backend:
            right = await one_try(f"https://localhost:{backend.port}/cb", tls=trust)
            wrong = await one_try(f"https://127.0.0.1:{backend.port}/cb", tls=trust)
            assert (right.result, wrong.result) == (TryResult.DELIVERED, TryResult.RETRY)
            assert len(backend.received) == 1

    run(scenario())
