"""A gateway on a port of its own, and a client that reads a stream of events."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx

from gateway.service import Gateway
from streams.settings import Settings


class Seen(NamedTuple):
    """An event as a client sees it. Ids that come without data are kept by the reader."""

    name: str
    id: str
    data: dict[str, Any]


class EventReader:
    """Reads a stream; a context manager. `last_id`: what a client would send as Last-Event-ID."""

    def __init__(self, address: str, path: str, after: str | None = None, token: str | None = None) -> None:
        self._client = httpx.Client(timeout=20)
        headers = {"Last-Event-ID": after} if after else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._stream = self._client.stream("GET", f"http://{address}{path}", headers=headers)
        self.last_id = after or ""

    def __enter__(self) -> EventReader:
        self.response = self._stream.__enter__()
        self._lines = self.response.iter_lines()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stream.__exit__(*error)
        self._client.close()

    def events(self) -> Iterator[Seen]:
        """Yield the events until the stream ends."""
        name, data = "message", ""
        for line in self._lines:
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                data += value
            elif field == "id":
                self.last_id = value
            elif not line:
                if data:
                    yield Seen(name, self.last_id, json.loads(data))
                name, data = "message", ""

    def next(self, count: int = 1) -> list[Seen]:
        events = self.events()
        return [next(events) for _ in range(count)]

    def until_alive(self) -> str:
        """Read up to the first id; return it."""
        while not self.last_id:
            self.read_line()
        return self.last_id

    def read_line(self) -> None:
        """Read one line, and keep an id."""
        field, _, value = next(self._lines).partition(": ")
        if field == "id":
            self.last_id = value


@contextmanager
def gateway(settings: Settings) -> Iterator[str]:
    """Run a gateway while the block runs; yield its address."""
    service, stop = Gateway(settings), threading.Event()
    thread = threading.Thread(target=service.run, args=(stop,))
    thread.start()
    try:
        yield service.address
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()
