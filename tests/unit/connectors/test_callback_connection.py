"""Connections that are kept between posts, against servers that send exactly these bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from connectors.callbacks import connection
from connectors.callbacks.deliver import Deliverer
from connectors.callbacks.delivery_try import TryResult
from tests.harness.callback_server import LOCAL, delivery, run

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
ERROR = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"


class Script:
    """Answers the posts of a connection with these pieces, each sent by itself. `asked`: a post came; `ended`: a connection
    has ended; `goes_on`: cleared while the next piece waits."""

    def __init__(self, *answers: Sequence[bytes]) -> None:
        self.answers = answers
        self.connections = 0
        self.asked, self.ended = asyncio.Event(), asyncio.Event()
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.url = ""

    async def respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        for pieces in self.answers:
            try:
                await reader.readuntil(b'{"ok":1}')
            except asyncio.IncompleteReadError:
                break
            self.asked.set()
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await self.goes_on.wait()
                await asyncio.sleep(0)
        await reader.read()
        self.ended.set()
        writer.close()


@asynccontextmanager
async def scripted(*answers: Sequence[bytes]) -> AsyncIterator[Script]:
    script = Script(*answers)
    server = await asyncio.start_server(script.respond, "127.0.0.1", 0)
    script.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    try:
        yield script
    finally:
        server.close()


def statuses(script_of: Callable[[], Any], tries: int) -> tuple[list[int | None], Script]:
    """Return the statuses of so many tries, one after the other."""

    async def scenario() -> tuple[list[int | None], Script]:
        async with script_of() as script, Deliverer(LOCAL, timeout_s=5) as deliverer:
            return [(await deliverer.deliver(delivery(script.url))).status for _ in range(tries)], script

    return asyncio.run(asyncio.wait_for(scenario(), 20))


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_response_may_arrive_in_pieces_of_any_size(size: int) -> None:
    answer = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n4\r\noops\r\n0\r\n\r\n"
    )
    pieces = [answer[at : at + size] for at in range(0, len(answer), size)]
    found, script = statuses(lambda: scripted(pieces, pieces), 2)
    assert (found, script.connections) == ([500, 500], 1)


@pytest.mark.parametrize("more", [ERROR, ERROR[:10], b"garbage"])
def test_bytes_behind_a_response_are_never_the_answer_to_the_next_post(more: bytes) -> None:
    found, script = statuses(lambda: scripted([OK + more]), 2)
    assert (found, script.connections) == ([200, 200], 2)


def test_bytes_on_an_idle_connection_are_never_the_answer_to_the_next_post(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "KEEP_ALIVE_S", 100.0)

    async def scenario() -> None:
        async with scripted([OK, ERROR], [OK]) as script, Deliverer(LOCAL) as deliverer:
            script.goes_on.clear()
            trying = asyncio.create_task(deliverer.deliver(delivery(script.url)))
            await script.asked.wait()
            assert (await trying).status == 200
            script.goes_on.set()
            await script.ended.wait()
            assert (await deliverer.deliver(delivery(script.url))).status == 200
            assert script.connections == 2

    run(scenario())


def test_a_connection_that_its_backend_wants_closed_is_closed() -> None:
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    found, script = statuses(lambda: scripted([closing]), 2)
    assert (found, script.connections) == ([200, 200], 2)


def test_an_upgrade_without_a_request_for_one_is_a_failed_try_and_ends_the_connection() -> None:
    upgrade = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
    found, script = statuses(lambda: scripted([upgrade]), 2)
    assert (found, script.connections) == ([101, 101], 2)


def test_an_idle_connection_is_closed_before_its_backend_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "KEEP_ALIVE_S", 0.02)

    async def scenario() -> None:
        async with scripted([OK]) as script, Deliverer(LOCAL) as deliverer:
            await deliverer.deliver(delivery(script.url))
            await script.ended.wait()
            assert deliverer._opened == set()

    run(scenario())


def test_a_kept_connection_times_out_at_each_post(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "KEEP_ALIVE_S", 100.0)

    async def scenario() -> None:
        async with scripted([OK], [OK], []) as script, Deliverer(LOCAL, timeout_s=0.05) as deliverer:
            tries = [await deliverer.deliver(delivery(script.url)) for _ in range(3)]
            assert [tried.result for tried in tries] == [TryResult.DELIVERED, TryResult.DELIVERED, TryResult.RETRY]
            assert "within 0.05 s" in str(tries[2].error)
            assert script.connections == 1

    run(scenario())


def test_closing_the_deliverer_fails_the_tries_that_wait_for_an_answer() -> None:
    async def scenario() -> None:
        async with scripted([]) as script, Deliverer(LOCAL) as deliverer:
            trying = asyncio.create_task(deliverer.deliver(delivery(script.url)))
            await script.asked.wait()
            await deliverer.close()
            assert (await trying).result is TryResult.RETRY

    run(scenario())
