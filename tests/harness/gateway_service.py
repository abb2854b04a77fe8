"""The gateway as it serves HTTP, on a thread of the test: for clients that stream, and for programs in other languages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from connectors.access_store import SCOPES, new_token, token_hash
from gateway.service import Gateway
from streams import wiring
from streams.settings import Settings
from tests.harness.waiting import in_thread, wait_until


@contextmanager
def open_gateway(settings: Settings, **changes: Any) -> Iterator[str]:
    """Yield the URL of a gateway on a free port that lets everyone in, unless `changes` of the settings say otherwise."""
    changes = {"gateway_address": "127.0.0.1:0", "gateway_auth": "open", **changes}
    service = Gateway(settings.model_copy(update=changes))
    scheme = "https" if changes.get("gateway_tls_cert") else "http"
    with in_thread(service.run):
        wait_until(lambda: service.health(ask=False).ready, lambda: "the gateway does not serve")
        yield f"{scheme}://{service.address}"


def token_for(settings: Settings, tenant: str, scopes: tuple[str, ...] = SCOPES) -> str:
    """Store a token of a tenant and return it."""
    token = new_token()
    with wiring.access_store(settings) as store:
        store.create_token(token_hash(token), f"token of {tenant}", tenant, scopes, None)
    return token
