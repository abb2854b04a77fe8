"""The gateway as it serves HTTP, on a thread of the test: for clients that stream, and for programs in other languages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.service import Gateway
from streams.settings import Settings
from tests.harness.waiting import in_thread, wait_until


@contextmanager
def open_gateway(settings: Settings) -> Iterator[str]:
    """Yield the URL of a gateway on a free port that lets everyone in."""
    service = Gateway(settings.model_copy(update={"gateway_address": "127.0.0.1:0", "gateway_auth": "open"}))
    with in_thread(service.run):
        wait_until(lambda: service.health(ask=False).ready, lambda: "the gateway does not serve")
        yield f"http://{service.address}"
