"""Callbacks are verified as the Standard Webhooks library verifies them, which here is the independent judge."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from connectors.callbacks.sign import Signer
from sluice_client import BadSignature, Callback, UsageError, verify
from sluice_client.fastapi import sluice_callback

SECRET = "whsec_" + base64.b64encode(b"a" * 24).decode()
OTHER = "whsec_" + base64.b64encode(b"b" * 24).decode()
NOW = 1_800_000_000
BODY = json.dumps({"type": "job.completed", "timestamp": "2026-01-01T00:00:00Z", "data": {"job_id": "j1"}}).encode()


def signed(body: bytes = BODY, secrets: tuple[str, ...] = (SECRET,), at: int = NOW) -> dict[str, str]:
    """Return the headers that the installation sends."""
    return Signer(secrets).headers("msg_1", at, body)


def test_a_callback_of_the_installation_is_verified() -> None:
    callback = verify(signed(), BODY, SECRET, now=NOW + 10)
    assert (callback.id, callback.type, callback.data) == ("msg_1", "job.completed", {"job_id": "j1"})
    assert callback.sent_at == datetime.fromtimestamp(NOW, UTC)


def test_headers_may_have_any_case() -> None:
    assert verify({name.title(): value for name, value in signed().items()}, BODY, SECRET, now=NOW).id == "msg_1"


@pytest.mark.parametrize("sent_with", [(SECRET,), (OTHER,), (SECRET, OTHER), (OTHER, SECRET)])
def test_while_a_key_is_rotated_each_secret_is_enough(sent_with: tuple[str, ...]) -> None:
    assert verify(signed(secrets=sent_with), BODY, [SECRET, OTHER], now=NOW)
    assert verify(signed(secrets=(SECRET, OTHER)), BODY, sent_with[0], now=NOW)


def test_a_secret_without_prefix_or_padding_is_taken() -> None:
    secret = base64.b64encode(b"a" * 25).decode()
    assert verify(signed(secrets=(secret,)), BODY, secret.rstrip("="), now=NOW)


@pytest.mark.parametrize(
    ("headers", "body", "secret", "later_s"),
    [
        (signed(), BODY, OTHER, 0),
        (signed(), BODY + b" ", SECRET, 0),
        (signed() | {"webhook-id": "msg_2"}, BODY, SECRET, 0),
        (signed() | {"webhook-timestamp": str(NOW + 1)}, BODY, SECRET, 0),
        (signed() | {"webhook-timestamp": "now"}, BODY, SECRET, 0),
        (signed() | {"webhook-timestamp": "٣"}, BODY, SECRET, 0),
        (signed() | {"webhook-signature": "v1"}, BODY, SECRET, 0),
        (signed() | {"webhook-signature": signed()["webhook-signature"].replace("v1,", "v2,")}, BODY, SECRET, 0),
        (signed() | {"webhook-signature": "v1,ü"}, BODY, SECRET, 0),
        ({}, BODY, SECRET, 0),
        (signed(), BODY, SECRET, 301),
        (signed(), BODY, SECRET, -301),
    ],
)
def test_anything_else_is_refused(headers: dict[str, str], body: bytes, secret: str, later_s: int) -> None:
    with pytest.raises(BadSignature):
        verify(headers, body, secret, now=NOW + later_s)


@pytest.mark.parametrize("secrets", [[], "whsec_", "whsec_\u00fc"])
def test_a_secret_that_is_none_is_a_mistake_of_the_setup(secrets: Any) -> None:
    with pytest.raises(UsageError):
        verify(signed(), BODY, secrets, now=NOW)


def test_secrets_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_CALLBACK_SECRETS", f"{OTHER}, {SECRET}")
    assert verify(signed(), BODY, now=NOW)


@pytest.mark.parametrize("body", [b"not json", b"[]"])
def test_a_declared_shape_is_verified_but_has_no_event(body: bytes) -> None:
    callback = verify(signed(body), body, SECRET, now=NOW)
    assert callback.body == body
    with pytest.raises(BadSignature, match="declared"):
        _ = callback.type


KEYS = st.binary(min_size=24, max_size=64).map(lambda key: "whsec_" + base64.b64encode(key).decode())
TEXTS = st.text(max_size=60)
IDS = st.text("abcdefgh-_0123456789", min_size=1, max_size=20)


@given(key=KEYS, text=TEXTS, message_id=IDS)
def test_a_signature_of_the_standard_library_is_accepted(key: str, text: str, message_id: str) -> None:
    at = datetime.now(UTC)
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(key).sign(message_id, at, text),
    }
    assert verify(headers, text.encode(), key).body == text.encode()


@given(key=KEYS, other=KEYS, text=TEXTS, change=st.sampled_from(["nothing", "key", "body", "id", "time"]))
def test_both_libraries_accept_and_refuse_the_same(key: str, other: str, text: str, change: str) -> None:
    at = datetime.now(UTC) - (timedelta(minutes=6) if change == "time" else timedelta())
    body = json.dumps({"text": text})
    headers = Signer([key]).headers("msg_1", int(at.timestamp()), body.encode())
    if change == "id":
        headers["webhook-id"] = "msg_2"
    if change == "body":
        body = body.replace("text", "taxt", 1)
    secret = other if change == "key" else key
    assert accepted_by_us(headers, body, secret) == accepted_by_the_standard(headers, body, secret)


def accepted_by_us(headers: dict[str, str], body: str, secret: str) -> bool:
    try:
        verify(headers, body.encode(), secret)
    except BadSignature:
        return False
    return True


def accepted_by_the_standard(headers: dict[str, str], body: str, secret: str) -> bool:
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


async def post(headers: dict[str, str], body: bytes) -> tuple[httpx.Response, list[Callback]]:
    """Send a callback to a FastAPI application."""
    app, seen = FastAPI(), list[Callback]()

    @app.post("/sluice", status_code=204)
    async def done(callback: Annotated[Callback, Depends(sluice_callback())]) -> None:
        seen.append(callback)

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://backend") as client:
        return await client.post("/sluice", content=body, headers=headers), seen


def test_a_fastapi_route_gets_verified_callbacks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_CALLBACK_SECRETS", SECRET)
    headers = signed(at=int(datetime.now(UTC).timestamp()))
    response, seen = asyncio.run(post(headers, BODY))
    assert response.status_code == 204
    assert [callback.data for callback in seen] == [{"job_id": "j1"}]
    response, seen = asyncio.run(post(headers, BODY + b" "))
    assert response.status_code == 401
    assert seen == []


def test_a_backend_without_secrets_says_so_in_its_answer_and_its_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("SLUICE_CALLBACK_SECRETS", raising=False)
    response, seen = asyncio.run(post(signed(), BODY))
    assert (response.status_code, seen) == (500, [])
    assert "can't verify callbacks" in response.json()["detail"]
    assert "Set SLUICE_CALLBACK_SECRETS" in caplog.text
