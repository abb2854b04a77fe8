"""Destinations and name servers that stall or send without end cost their own tries only."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Any

import pytest

from connectors.callbacks.deliver import Deliverer
from connectors.callbacks.delivery_try import DeliveryTry, TryResult
from tests.harness.callback_server import LOCAL, delivery

ENDLESS = {
    "interim responses": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 1000),
    "a header": (b"HTTP/1.1 200 OK\r\nx: ", b"y" * 65536),
    "trailers": (b"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"x: y\r\n" * 1000),
    "a body": (b"HTTP/1.1 500 x\r\nContent-Length: 99999999999\r\n\r\n", b"y" * 65536),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_an_answer_without_end_is_cut_off_long_before_the_timeout(kind: str) -> None:
    begin, more = ENDLESS[kind]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(begin)
            while not writer.is_closing():
                writer.write(more)
                await writer.drain()

    async def scenario() -> DeliveryTry:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with Deliverer(LOCAL, timeout_s=300.0) as deliverer:
            tried = await deliverer.deliver(delivery(f"http://127.0.0.1:{port}/"))
        server.close()
        return tried

    tried = asyncio.run(asyncio.wait_for(scenario(), 60))
    assert tried.result is TryResult.RETRY
    assert len(str(tried.error)) < 2000


def test_names_that_do_not_resolve_keep_no_others_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    stalled, resolve = threading.Event(), socket.getaddrinfo

    def slow(host: Any, *more: Any, **options: Any) -> Any:
        if str(host).startswith("stalls"):
            stalled.wait(60)
            raise socket.gaierror("no such name")
        return resolve("127.0.0.1", *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)

    async def scenario() -> DeliveryTry:
        async with Deliverer(LOCAL, timeout_s=50.0) as deliverer:
            tries = [asyncio.create_task(deliverer.deliver(delivery(f"http://stalls{n}.example/"))) for n in range(100)]
            await asyncio.sleep(0)
            tried = await deliverer.deliver(delivery("http://good.example:9/"))
            stalled.set()
            await asyncio.gather(*tries)
            return tried

    tried = asyncio.run(asyncio.wait_for(scenario(), 60))
    assert "127.0.0.1 is not a public address" in str(tried.error)  # resolved, and then refused
