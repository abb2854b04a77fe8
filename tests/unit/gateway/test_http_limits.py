"""Bodies: how large they may be, by route, and that no memory is spent on those of strangers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from gateway import http_limits
from gateway.principal import Principal
from schemas.errors import Unreachable
from tests.harness.gateway_app import memory_settings, serving

JSON = {"Content-Type": "application/json"}
MIB = 1 << 20


class _OneToken:
    async def principal(self, token: str) -> Principal | None:
        if token == "away":
            raise Unreachable("Postgres is away.")
        return Principal("a", frozenset({"read"}), "reader") if token == "good" else None


@pytest.mark.parametrize(
    ("method", "path", "refused"),
    [
        ("POST", "/v1/jobs", True),
        ("POST", "/v1/uploads/presigned", True),
        ("POST", "/v1/uploads/019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10/complete", True),
        ("PUT", "/v1/uploads", True),
        ("POST", "/v1/uploads/tus/x", True),
        ("POST", "/v1/lab/objects/x", False),
        ("POST", "/v1/batches", False),
        ("POST", "/v1/uploads", False),
        ("POST", "/v1/uploads/tus", False),
        ("PATCH", "/v1/uploads/tus/x", False),
        ("PUT", "/v1/lab/objects/x", False),
    ],
)
def test_only_batches_laboratories_and_files_have_large_bodies(
    tmp_path: Path, method: str, path: str, refused: bool
) -> None:
    async def use() -> tuple[int, int]:
        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(2):
                yield b" " * MIB

        async with serving(memory_settings(tmp_path)) as (client, _):
            whole = await client.request(method, path, content=b" " * (2 * MIB), headers=JSON)
            streamed = await client.request(method, path, content=chunks(), headers=JSON)
            return whole.status_code, streamed.status_code

    whole, streamed = asyncio.run(use())
    assert (whole == 413) is refused
    assert (streamed == 413) is (refused and path in ("/v1/jobs", "/v1/uploads/presigned"))  # others read no body


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("bad", 401), ("away", 503)])
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/batches", "/v1/uploads/presigned", "/v1/uploads"])
def test_the_body_of_a_request_without_a_valid_token_is_not_read(
    tmp_path: Path, path: str, token: str | None, status: int
) -> None:
    read = []

    async def chunks() -> AsyncIterator[bytes]:
        read.append(1)
        yield b"{}"

    async def use() -> httpx.Response:
        async with serving(memory_settings(tmp_path)) as (client, ports):
            ports.authenticator = _OneToken()
            headers = JSON if token is None else {**JSON, "Authorization": f"Bearer {token}"}
            return await client.post(path, content=chunks(), headers=headers)

    answer = asyncio.run(use())
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.headers["connection"] == "close"
    assert read == []


def test_a_small_body_without_a_token_keeps_its_connection(tmp_path: Path) -> None:
    async def use() -> list[httpx.Response]:
        async with serving(memory_settings(tmp_path)) as (client, ports):
            ports.authenticator = _OneToken()
            good = {"Authorization": "bearer good"}
            return [await client.post("/v1/jobs", json={}), await client.post("/v1/jobs", json={}, headers=good)]

    without, unscoped = asyncio.run(use())
    assert (without.status_code, without.headers.get("connection")) == (401, None)
    assert without.headers["www-authenticate"] == "Bearer"
    assert unscoped.status_code in (403, 422)


def test_the_bodies_in_flight_have_a_limit_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_limits, "LARGEST_AT_A_TIME", 1)

    async def use() -> tuple[int, httpx.Response, int]:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def held() -> AsyncIterator[bytes]:
            yield b" " * (MIB * 3 // 4)
            begun.set()
            await go_on.wait()
            yield b"{}"

        async with serving(memory_settings(tmp_path, gateway_body_mib=1)) as (client, _):
            body = b"{}" + b" " * (MIB * 3 // 4)
            first = asyncio.create_task(client.post("/v1/batches", content=held(), headers=JSON))
            await begun.wait()
            second = await client.post("/v1/batches", content=body, headers=JSON)
            go_on.set()
            ended = (await first).status_code
            return ended, second, (await client.post("/v1/batches", content=body, headers=JSON)).status_code

    first, second, third = asyncio.run(use())
    assert (first, second.status_code, third) == (422, 503, 422)
    assert (second.json()["code"], second.headers["retry-after"]) == ("OVERLOADED", "1")
