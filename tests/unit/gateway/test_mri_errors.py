"""Errors of the polling contract: the old system's shape and the right code, also those that the gateway itself makes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway import http_limits
from gateway.mri_polling import routes
from gateway.mri_polling.polling import MriPolling
from gateway.mri_polling.starting import MriRequests
from gateway.ports import Ports
from schemas.errors import Unreachable
from streams.settings import Settings
from tests.harness.gateway_app import memory_settings, serving
from tests.harness.old_mri_worker import BODIES

BASE = "/api/mri/segmentation"
UNKNOWN = "019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10.0.7"
UPDATE, COMPLETE = f"{BASE}/update-status/{UNKNOWN}/", f"{BASE}/complete-request/{UNKNOWN}/"
START = f"{BASE}/series/1.2.840.99/segment/"


def mri_settings(home: Path, **changes: Any) -> Settings:
    more = {"processors": ("mri-lab",), "gateway_mri": "networks", "gateway_mri_networks": "127.0.0.1"}
    return memory_settings(home, **more | {"use_local_inference": True} | changes)


def asked(made: Settings, method: str, path: str, spoil: Callable[[Ports], object] = id, **more: Any) -> httpx.Response:
    """Ask a gateway with these settings, whose ports `spoil` has changed."""

    async def ask() -> httpx.Response:
        async with serving(made) as (client, ports):
            spoil(ports)
            return await client.request(method, path, **more)

    return asyncio.run(ask())


def error(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    found: dict[str, Any] = answer.json()
    BODIES["error"].validate(found)
    return found


WRONG: list[tuple[str, str, dict[str, Any], int]] = [
    ("GET", f"{BASE}/nothing/", {}, 404),
    ("GET", "/api/mri", {}, 404),
    ("POST", f"{BASE}/requests/", {}, 405),
    ("GET", UPDATE, {}, 405),
    ("GET", f"{BASE}/requests/?limit=0", {}, 422),
    ("GET", f"{BASE}/requests/?limit=x", {}, 422),
    ("GET", f"{BASE}/requests/?cursor=x", {}, 422),
    ("POST", UPDATE, {"json": {"status": "processing"}}, 404),
    ("POST", UPDATE, {"content": b""}, 404),
    ("POST", f"{BASE}/update-status/7/", {"json": {}}, 404),
    ("POST", f"{BASE}/update-status/{UNKNOWN[:36]}/", {"json": {}}, 404),
    ("POST", UPDATE, {"json": {"status": "sleeping"}}, 400),
    ("POST", UPDATE, {"json": {"status": 7}}, 400),
    ("POST", COMPLETE, {"json": {"success": True}}, 404),
    ("POST", COMPLETE, {"content": b"{"}, 400),
    ("POST", COMPLETE, {"content": b"\xff\xfe"}, 400),
    ("POST", COMPLETE, {"content": b"[" * 60_000}, 400),
    ("POST", COMPLETE, {"json": [1]}, 400),
    ("POST", COMPLETE, {"json": {}}, 400),
    ("POST", COMPLETE, {"json": {"success": "yes"}}, 400),
    ("POST", COMPLETE, {"json": {"success": True, "status": "failed"}}, 400),
    ("POST", COMPLETE, {"json": {"success": True, "status": "sleeping"}}, 400),
    ("POST", COMPLETE, {"json": {"success": True, "lesion_volume_mm3": "7"}}, 400),
    ("POST", COMPLETE, {"json": {"success": True, "lesion_count": 1.5}}, 400),
    ("POST", COMPLETE, {"json": {"success": True, "lesion_count": True}}, 400),
    ("POST", COMPLETE, {"content": b'{"success": true, "lesion_volume_mm3": NaN}'}, 400),
    ("POST", COMPLETE, {"content": b'{"success": true, "orthanc_id": "\\ud800"}'}, 400),
    ("POST", COMPLETE, {"content": b" " * 70_000}, 413),
    ("POST", COMPLETE, {"content": b" " * 1_100_000}, 413),
    ("POST", START, {"json": {"threshold": 2}}, 400),
    ("POST", START, {"json": {"threshold": 0}}, 400),
    ("POST", START, {"json": {"threshold": 1}}, 400),
    ("POST", f"{BASE}/series/a%20b/segment/", {}, 400),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return mri_settings(tmp_path_factory.mktemp("mri"))


def test_every_error_of_a_request_has_the_old_shape_and_the_right_code(made: Settings) -> None:
    async def ask_all() -> list[tuple[int, httpx.Response]]:
        async with serving(made) as (client, _):
            return [(status, await client.request(method, path, **more)) for method, path, more, status in WRONG]

    for (method, path, _, _), (status, answer) in zip(WRONG, asyncio.run(ask_all()), strict=True):
        assert error(answer, status)["success"] is False, (method, path)


def test_no_redirect_is_sent_for_a_path_without_its_slash(made: Settings) -> None:
    answer = asked(made, "GET", f"{BASE}/pending-requests")
    assert (answer.status_code, answer.json()) == (200, {"success": True, "count": 0, "requests": []})


def test_a_fault_of_the_gateway_is_500_in_the_old_shape_and_says_nothing_of_the_fault(
    made: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*_: object) -> None:
        raise KeyError("Kim, 1.2.840.99")

    monkeypatch.setattr(MriRequests, "listed", dies)
    assert "Kim" not in str(error(asked(made, "GET", f"{BASE}/requests/"), 500))


def test_a_database_that_is_away_is_503_with_the_time_to_come_again(
    made: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise Unreachable("Postgres does not answer.")

    monkeypatch.setattr(MriPolling, "pending", away)
    answer = asked(made, "GET", f"{BASE}/pending-requests/")
    assert error(answer, 503)["error"] == "Postgres does not answer."
    assert answer.headers["retry-after"] == "2"


def test_a_gateway_that_serves_all_it_may_says_so_in_the_old_shape(
    made: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = made.model_copy(update={"gateway_requests": 0})
    assert error(asked(busy, "GET", f"{BASE}/requests/"), 503)["code"] == "OVERLOADED"
    monkeypatch.setattr(http_limits, "BODY_S", 0.0)

    async def never() -> Any:
        await asyncio.sleep(10)
        yield b""

    assert error(asked(made, "POST", UPDATE, content=never()), 408)["code"] == "REQUEST_TIMEOUT"


def test_a_start_is_refused_while_local_inference_is_off_or_too_many_are_open(
    made: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    off = made.model_copy(update={"use_local_inference": False})
    refused = error(asked(off, "POST", START), 403)
    assert (refused["code"], "USE_LOCAL_INFERENCE" in refused["next_step"]) == ("LOCAL_INFERENCE_OFF", True)

    def full(ports: Ports) -> None:
        monkeypatch.setattr(ports.admission.queues, "open", lambda tenant, processor: {"PENDING": 999, "PROCESSING": 1})

    answer = asked(made, "POST", START, full)
    assert error(answer, 429)["code"] == "TOO_MANY_REQUESTS"
    assert answer.headers["retry-after"] == "30"


def test_where_the_contract_is_off_its_paths_are_unknown_and_it_is_never_in_the_document(
    made: Settings, tmp_path: Path
) -> None:
    off = memory_settings(tmp_path)
    answer = asked(off, "GET", f"{BASE}/requests/")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert not routes.router.include_in_schema
    assert asked(made, "GET", "/v1/nothing").headers["content-type"] == "application/problem+json"


def test_whatever_is_asked_the_answer_is_json_with_success(made: Settings) -> None:
    rng, paths = (
        random.Random(11),
        ("requests", "pending-requests", "update-status/x", UPDATE[26:], "series/x/segment", "y"),
    )
    bodies = (b"{}", b'{"status": "failed"}', b"null", b"\xff", b"", b'"', b'{"success": []}')

    async def ask(client: httpx.AsyncClient) -> httpx.Response:
        path = f"{BASE}/{rng.choice(paths)}{rng.choice(('', '/', '//', '/%00', '/%ff'))}"
        method = rng.choice(("GET", "POST", "PUT", "DELETE", "OPTIONS"))
        query = {"limit": rng.choice(("1", "-1", "x", "")), "cursor": rng.choice(("", "x", "\0"))}
        return await client.request(method, path, content=rng.choice(bodies), params=query)

    async def ask_all() -> list[httpx.Response]:
        async with serving(made.model_copy(update={"use_local_inference": False})) as (client, _):
            return [await ask(client) for _ in range(150)]

    answers = asyncio.run(ask_all())
    assert {answer.status_code for answer in answers} >= {200, 400, 403, 404, 405, 422}
    for answer in answers:
        assert answer.json()["success"] is (answer.status_code == 200), answer.text
        assert answer.status_code < 500


def test_a_body_that_breaks_off_is_no_fault_of_the_gateway(tmp_path: Path) -> None:
    sent: list[Any] = []

    async def ask() -> None:
        async with serving(mri_settings(tmp_path)) as (client, _):
            path = START.encode()
            scope = {"type": "http", "method": "POST", "path": START, "raw_path": path, "query_string": b""}
            more = {"headers": [(b"host", b"x")], "client": ("127.0.0.1", 1), "server": ("x", 80), "scheme": "http"}
            came = iter([{"type": "http.request", "body": b'{"thr', "more_body": True}])

            async def receive() -> Any:
                return next(came, {"type": "http.disconnect"})

            async def send(message: Any) -> None:
                sent.append(message)

            transport = client._transport
            assert isinstance(transport, httpx.ASGITransport)
            await transport.app(scope | more | {"state": {}}, receive, send)

    asyncio.run(ask())
    assert sent[0]["status"] == 400
