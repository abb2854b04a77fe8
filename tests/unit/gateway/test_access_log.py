"""Lines of requests: collected, then written by a thread at once."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import threading
from pathlib import Path
from typing import TextIO, cast

import pytest
import structlog

from gateway import access_log
from gateway.access_log import RequestLines
from streams import logs
from tests.harness.gateway_app import memory_settings, serving


class Reader(io.StringIO):
    """Notes each write. `stuck` until it is set free."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()
        self.entered = threading.Event()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.entered.set()
        assert self.free.wait(10)
        self.writes.append(text)
        return len(text)


def read_log(monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Return a reader of the log of requests. Not a fixture: pytest sets its own stderr after those."""
    printer = structlog.PrintLogger(cast(TextIO, logs.stderr))
    renderer = structlog.processors.JSONRenderer()
    monkeypatch.setattr(access_log, "log", structlog.wrap_logger(printer, processors=[renderer]))
    reader = Reader()
    monkeypatch.setattr(sys, "stderr", reader)
    return reader


def test_a_slow_reader_of_the_log_holds_up_no_request_and_gets_each_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = read_log(monkeypatch)
    monkeypatch.setattr(access_log, "WRITE_S", 0.0)
    settings = memory_settings(tmp_path)

    async def use() -> None:
        async with serving(settings) as (client, _):
            await client.get("/livez")
            assert await asyncio.to_thread(reader.entered.wait, 10)
            for _ in range(20):
                assert (await client.get("/livez")).status_code == 200
            assert not reader.writes
            reader.free.set()

    asyncio.run(use())
    lines = [json.loads(line) for text in reader.writes for line in text.splitlines()]
    assert [line["route"] for line in lines if line["event"] == "http_request"] == ["/livez"] * 21
    assert len(reader.writes) < 10  # not one write for each


def test_beyond_the_lines_that_may_wait_the_requests_wait_for_the_reader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = read_log(monkeypatch)
    monkeypatch.setattr(access_log, "MOST_WAITING", 3)
    reader.free.set()

    async def use() -> None:
        lines = RequestLines()
        for n in range(3):
            lines.add({"n": n})
        assert [json.loads(line)["n"] for line in reader.writes[0].splitlines()] == [0, 1, 2]
        lines.close()

    asyncio.run(use())
