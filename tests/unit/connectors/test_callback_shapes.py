"""Callbacks in a backend's own shape, against a real HTTP server: forms with whole files, and what goes wrong."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from email.parser import BytesParser
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web

from connectors.callbacks.deliver import Deliverer
from connectors.callbacks.delivery_try import DeliveryTry, OutgoingCallback, TryResult
from connectors.callbacks.file_body import CHUNK
from connectors.callbacks.profile import CallbackProfiles
from connectors.callbacks.profile_file import NO_PROFILES, parse_profiles
from connectors.callbacks.shaped import ShapedDeliverer
from connectors.objects import ObjectStore
from schemas.plain import to_plain
from schemas.records import Claim
from tests.harness.callback_server import LOCAL, Received, serving
from tests.harness.shaped_callbacks import JOB, outcome, received, send


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(f"file://{tmp_path}/objects")


FORM = parse_profiles("""
    [profiles.form.success]
    format = "multipart"
    headers = { X-Api-Key = "k" }
    body_part = "meta"
    body = { id = "$.data.job_id" }
    [profiles.form.success.files]
    volume = { from = "data.output.volume", filename = 'Größe 1.bin' }
    none = "data.output.none"
    [profiles.form.failure]
    format = "none"
    [profiles.strict.success]
    body = { volume = { "$base64" = "data.output.volume", if_null = "omit" } }
    [destinations."127.0.0.1"]
    success_timeout_s = 60
""")


def parts(request: Received) -> dict[str, Any]:
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    message = BytesParser().parsebytes(head + request.body)
    found = cast(list[Any], message.get_payload())
    return {part.get_param("name", header="content-disposition"): part for part in found}


def test_a_form_has_a_json_part_and_whole_files(store: ObjectStore) -> None:
    data = os.urandom(3 * CHUNK + 17)
    claim = store.put_bytes(data, "application/x-volume")
    tried = send(outcome("p", output={"volume": to_plain(claim), "none": None}), FORM, store, profile="form")
    request = received(tried)
    found = parts(request)
    assert list(found) == ["meta", "volume"]
    assert json.loads(found["meta"].get_payload(decode=True)) == {"id": JOB}
    assert found["meta"].get_content_type() == "application/json"
    assert found["volume"].get_content_type() == "application/x-volume"
    assert hashlib.sha256(found["volume"].get_payload(decode=True)).hexdigest() == claim.sha256
    assert request.headers["X-Api-Key"] == "k"
    assert int(request.headers["Content-Length"]) == len(request.body)


def test_a_moment_that_a_profile_leaves_out_is_skipped_without_a_request() -> None:
    tried, backend = send(outcome("p", "FAILED"), FORM, profile="form")
    assert (tried.result, tried.counts, backend.received) == (TryResult.SKIPPED, False, [])


@pytest.mark.parametrize("profiles", [FORM, NO_PROFILES], ids=["other profiles", "no file"])
def test_a_profile_that_is_not_declared_refuses_the_callback_by_name(profiles: CallbackProfiles) -> None:
    tried, backend = send(outcome("p"), profiles, profile="from")
    assert (tried.result, backend.received) == (TryResult.REFUSED, [])
    assert "no callback profile 'from'" in str(tried.error)


def test_a_job_without_a_profile_has_the_standard_event() -> None:
    body = outcome("p")
    assert received(send(body, NO_PROFILES)).body == body


def test_a_file_that_is_gone_refuses_the_callback_and_the_destination_is_not_blamed(store: ObjectStore) -> None:
    claim = Claim(f"{store.root}/sha256/ab/" + "ab" * 32, "ab" * 32, 3)
    tried, backend = send(outcome("p", output={"volume": to_plain(claim)}), FORM, store, profile="strict")
    assert (tried.result, tried.sent, backend.received) == (TryResult.REFUSED, False, [])


def test_a_file_that_was_changed_is_not_sent(store: ObjectStore) -> None:
    claim = store.put_bytes(b"abc")
    (file,) = (path for path in Path(store.root.removeprefix("file://")).rglob("*") if path.is_file())
    file.write_bytes(b"abd")
    tried, backend = send(outcome("p", output={"volume": to_plain(claim)}), FORM, store, profile="strict")
    assert (tried.result, backend.received) == (TryResult.REFUSED, [])
    assert "sha256" in str(tried.error)


def test_a_store_that_is_away_is_tried_again(store: ObjectStore, tmp_path: Path) -> None:
    claim = store.put_bytes(b"abc")
    (tmp_path / "objects").rename(tmp_path / "unmounted")
    tried, _ = send(outcome("p", output={"volume": to_plain(claim)}), FORM, store, profile="strict")
    assert (tried.result, tried.sent) == (TryResult.RETRY, False)


def test_a_file_that_is_absent_is_left_out_where_the_profile_says_so(store: ObjectStore) -> None:
    assert received(send(outcome("p", output={}), FORM, store, profile="strict")).body == b"{}"


def test_a_backend_that_refuses_a_large_body_early_is_heard(store: ObjectStore) -> None:
    claim = store.put_bytes(os.urandom(4 << 20))

    async def scenario() -> DeliveryTry:
        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
            await reader.read()
            writer.close()

        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        body = outcome("p", output={"volume": to_plain(claim)})
        async with server, ShapedDeliverer(Deliverer(LOCAL), FORM, lambda: store.fetch) as deliverer:
            return await deliverer.deliver(OutgoingCallback("dlv_1", url, body, profile="form"))

    assert asyncio.run(asyncio.wait_for(scenario(), 20)).status == 413


def test_a_time_limit_of_a_destination_holds_for_the_standard_event_too() -> None:
    async def late(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.2)
        return web.Response()

    async def result(status: str) -> TryResult:
        async with serving(late) as backend:
            shapes = parse_profiles(f'[destinations."127.0.0.1:{backend.port}"]\nfailure_timeout_s = 0.01')
            async with ShapedDeliverer(Deliverer(LOCAL), shapes, lambda: pytest.fail("no file")) as deliverer:
                body = outcome("p", status)
                return (await deliverer.deliver(OutgoingCallback("dlv_1", backend.url(), body))).result

    assert asyncio.run(result("FAILED")) is TryResult.RETRY
    assert asyncio.run(result("COMPLETED")) is TryResult.DELIVERED
