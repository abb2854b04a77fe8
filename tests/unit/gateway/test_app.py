from __future__ import annotations

import asyncio
import threading
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from psycopg import errors

from connectors.postgres.connection import translated
from gateway.app import create_app
from gateway.ports import Ports
from gateway.principal import CanRead, CanSubmit, Principal
from gateway.problems import answer
from gateway.service import Gateway
from schemas.errors import SluiceError
from tests.harness.gateway_app import memory_settings, serving


def test_an_unknown_path_is_a_problem_with_a_code(tmp_path: Path) -> None:
    async def asked() -> httpx.Response:
        async with serving(memory_settings(tmp_path)) as (client, _):
            return await client.get("/v1/nothing")

    answer = asyncio.run(asked())
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["code"] == "NOT_FOUND"
    assert answer.json()["type"] == "urn:sluice:problem:not-found"


def test_a_statement_of_ours_that_the_database_refuses_is_no_fault_of_the_client() -> None:
    with pytest.raises(SluiceError) as caught, translated("reading a job"):
        raise errors.UndefinedTable('relation "jobs" does not exist')
    refused = answer(caught.value)
    assert refused.status_code == 500
    assert b"jobs" not in refused.body


def test_a_gateway_that_begins_to_stop_is_alive_but_not_ready(tmp_path: Path) -> None:
    async def asked() -> tuple[list[int], list[int]]:
        async with serving(memory_settings(tmp_path)) as (client, ports):
            before = [(await client.get(path)).status_code for path in ("/livez", "/readyz")]
            ports.stopping.set()
            return before, [(await client.get(path)).status_code for path in ("/livez", "/readyz")]

    assert asyncio.run(asked()) == ([200, 200], [200, 503])


def test_a_task_that_ends_by_itself_ends_the_gateway(tmp_path: Path) -> None:
    stop = threading.Event()

    async def asked() -> tuple[str, ...]:
        with closing(Ports(memory_settings(tmp_path))) as ports:
            ports.loops.run_until(stop)

            async def dies() -> None:
                raise KeyError("a patient's name")

            ports.tasks["reader"] = dies
            async with ports.running():
                await asyncio.to_thread(stop.wait, 10)
            return ports.loops.dead

    (reason,) = asyncio.run(asked())
    assert stop.is_set()
    assert "reader" in reason
    assert "patient" not in reason


def test_a_service_listens_at_a_free_port_and_stops(tmp_path: Path) -> None:
    service, stop = Gateway(memory_settings(tmp_path, gateway_address="127.0.0.1:0")), threading.Event()
    thread = threading.Thread(target=service.run, args=(stop,))
    thread.start()
    try:
        assert httpx.get(f"http://{service.address}/readyz").json() == {"ready": True}
    finally:
        stop.set()
        thread.join()
    assert not service.health(ask=False).reasons


class _OneToken:
    async def principal(self, token: str) -> Principal | None:
        return Principal("a", frozenset({"read"}), "reader") if token == "good" else None


def test_a_request_without_a_valid_token_or_scope_is_refused_with_the_next_step(tmp_path: Path) -> None:
    async def asked() -> list[httpx.Response]:
        with closing(Ports(memory_settings(tmp_path))) as ports:
            ports.authenticator = _OneToken()
            app = create_app(ports)

            @app.get("/read")
            async def read(principal: CanRead) -> str:
                return principal.tenant

            @app.get("/submit")
            async def submit(principal: CanSubmit) -> str:
                return principal.tenant

            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
                asks = [("/read", "bad"), ("/submit", "good"), ("/read", "good")]
                return [
                    await client.get(path, headers={"Authorization": f"Bearer {token}"}) for path, token in asks
                ] + [await client.get("/read")]

    bad, unscoped, good, without = asyncio.run(asked())
    assert [bad.status_code, unscoped.status_code, good.status_code, without.status_code] == [401, 403, 200, 401]
    assert without.headers["www-authenticate"] == "Bearer"
    assert "sluice tokens create" in without.json()["next_step"]
    assert "submit" in unscoped.json()["detail"]
