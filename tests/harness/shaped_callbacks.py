"""Sends a standard event once with a profile, against a real HTTP server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from connectors.callbacks.body import standard_event
from connectors.callbacks.deliver import Deliverer
from connectors.callbacks.delivery_try import DeliveryTry, OutgoingCallback, TryResult
from connectors.callbacks.profile import CallbackProfiles
from connectors.callbacks.shaped import ShapedDeliverer
from connectors.callbacks.sign import Signer
from connectors.objects import ObjectStore
from tests.harness.callback_server import LOCAL, SECRET, Backend, Handler, Received, answering, serving

AT = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
JOB = "019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10"
RECEIVES = answering(200)


def outcome(processor: str, status: str = "COMPLETED", **more: Any) -> bytes:
    row = {"job_id": JOB, "run": 0, "attempt": 1, "processor": processor, "status": status, "tenant": "t"}
    return standard_event({**row, "model_version": "1.2.0", "decided_at": AT, **more})


def send(
    body: bytes,
    profiles: CallbackProfiles,
    store: ObjectStore | None = None,
    *,
    handler: Handler = RECEIVES,
    path: str = "/cb",
    **more: Any,
) -> tuple[DeliveryTry, Backend]:
    """Make one try of this standard event; return its result and the backend that received it."""

    async def scenario() -> tuple[DeliveryTry, Backend]:
        def open_store() -> Any:
            assert store is not None
            return store.fetch

        async with serving(handler) as backend:
            plain = Deliverer(LOCAL, [SECRET], timeout_s=5)
            async with ShapedDeliverer(plain, profiles, open_store) as deliverer:
                return await deliverer.deliver(OutgoingCallback("dlv_1", backend.url(path), body, **more)), backend

    return asyncio.run(asyncio.wait_for(scenario(), 20))


def received(tried: tuple[DeliveryTry, Backend]) -> Received:
    """Return the one request that was accepted, after its signature (over the whole body) was checked."""
    assert tried[0].result is TryResult.DELIVERED, tried[0].error
    [request] = tried[1].received
    name, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    signature = Signer([SECRET]).headers(name, int(at), request.body)["webhook-signature"]
    assert request.headers["webhook-signature"] == signature
    return request
