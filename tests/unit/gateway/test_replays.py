"""Replays over HTTP, on twins in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from connectors.access_store import SCOPES
from connectors.replay_store import MarkedRow
from gateway.principal import Principal
from schemas.ids import new_id
from schemas.states import State
from streams.sink.event import TerminalResult
from tests.harness.gateway_app import memory_settings, serving
from tests.harness.stores import Stores, ended, new_job, requested

Use = Callable[[httpx.AsyncClient, Stores], Awaitable[None]]


class _ByName:
    """A token is `TENANT`, with every scope, or `TENANT.SCOPE`."""

    async def principal(self, token: str) -> Principal | None:
        tenant, _, scope = token.partition(".")
        return Principal(tenant, frozenset([scope] if scope else SCOPES), token)


def on_a_gateway(home: Path, use: Use) -> None:
    """Run `use` with a client of tenant `clinic`, and the stores behind the gateway."""

    async def run() -> None:
        async with serving(memory_settings(home)) as (client, ports):
            ports.authenticator = _ByName()
            client.headers["Authorization"] = "Bearer clinic"
            await use(client, Stores(ports.settings))

    asyncio.run(run())


def failed(stores: Stores, code: str = "TIMEOUT_ERROR", tenant: str = "clinic") -> str:
    job, head = new_job(), {"tenant": tenant}
    end = ended(job, 1, header=head, state=State.FAILED)
    terminal = TerminalResult(State.FAILED, {"code": code, "message": "m", "fingerprint": "f"})
    stores.store(requested(job, 0, header=head), end._replace(terminal=terminal))
    return str(job)


async def start(client: httpx.AsyncClient, **body: Any) -> Any:
    answer = await client.post("/v1/replays", json=body)
    assert answer.status_code == 202, answer.text
    return answer.json()


def test_a_replay_is_started_read_listed_paused_and_cancelled(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, stores: Stores) -> None:
        job = failed(stores)
        started = await start(client, error_code="TIMEOUT_ERROR", reason="mended", rate=None)
        path = f"/v1/replays/{started['replay_id']}"
        assert (started["total"], started["state"], started["requested_by"]) == (1, "running", "clinic of clinic")
        assert (await client.post(f"{path}/pause")).json()["state"] == "paused"
        assert (await client.post(f"{path}/resume")).json()["state"] == "running"
        [row] = (await client.get(f"{path}/jobs", params={"state": "waiting"})).json()["items"]
        assert (row["job_id"], row["run"]) == (job, 1)
        stores.replays.mark([MarkedRow(bytes.fromhex(started["replay_id"].replace("-", "")), 1, "published")])
        read = (await client.get(path)).json()
        assert (read["state"], read["published"], read["outcomes"]) == ("done", 1, {"PENDING": 1})
        refused = await client.post(f"{path}/cancel")
        assert (refused.status_code, refused.json()["code"]) == (409, "CONFLICT")
        again = await start(client, job_ids=[job])
        page = (await client.get("/v1/replays", params={"limit": 1})).json()
        assert [one["replay_id"] for one in page["items"]] == [again["replay_id"]]
        rest = (await client.get("/v1/replays", params={"cursor": page["next_cursor"]})).json()
        assert [one["replay_id"] for one in rest["items"]] == [started["replay_id"]]

    on_a_gateway(tmp_path, use)


def test_a_token_sees_and_replays_only_jobs_of_its_tenant_and_needs_the_scope(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, stores: Stores) -> None:
        own, other = failed(stores), failed(stores, tenant="other")
        started = await start(client, job_ids=[own, other])
        assert started["total"] == 1
        path = f"/v1/replays/{started['replay_id']}"
        strange, every = {"Authorization": "Bearer other"}, {"Authorization": "Bearer *"}
        assert (await client.get(path, headers=strange)).status_code == 404
        assert (await client.post(f"{path}/cancel", headers=strange)).status_code == 404
        assert (await client.get("/v1/replays", headers=strange)).json()["items"] == []
        assert (await client.get(path, headers=every)).status_code == 200
        answer = await client.post("/v1/replays", json={"states": ["FAILED"]}, headers=every)
        assert answer.json()["total"] == 2
        reader = {"Authorization": "Bearer clinic.read"}
        for method, url in (("GET", "/v1/replays"), ("POST", "/v1/replays"), ("POST", f"{path}/pause")):
            assert (await client.request(method, url, headers=reader, json={})).status_code == 403

    on_a_gateway(tmp_path, use)


def test_a_dry_run_counts_and_changes_nothing(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, stores: Stores) -> None:
        failed(stores)
        answer = await client.post("/v1/replays", json={"processor": "echo", "dry_run": True})
        assert answer.status_code == 200
        counted = answer.json()
        assert [(group["error_code"], group["jobs"]) for group in counted["groups"]] == [("TIMEOUT_ERROR", 1)]
        assert (counted["jobs"], counted["checked"], stores.replays.replays(10)) == (1, 1, [])

    on_a_gateway(tmp_path, use)


def test_a_body_without_a_condition_or_with_a_wrong_one_is_refused(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, stores: Stores) -> None:
        for body in (
            {},
            {"job_ids": ["x"]},
            {"states": ["PENDING"]},
            {"processor": "echo", "callbacks": "ftp://a"},
            {"processor": "echo", "since": "0001-01-01T00:00:00+14:00"},
            {"processor": "echo", "until": "9999-12-31T23:59:59-14:00"},
            {"processor": "echo", "callbacks": "http://169.254.169.254/latest"},
            {"processor": "echo", "rate": 0},
            {"processor": "echo", "rate": 0.0009},
            {"processor": "echo", "rate": 10_001},
            {"processor": "echo", "edit": [{"op": "add", "path": "/x", "value": "\0"}]},
            {"unknown": 1},
        ):
            assert (await client.post("/v1/replays", json=body)).status_code in (400, 422), body
        half = rb'{"processor": "echo", "edit": [{"op": "add", "path": "/x", "value": "\ud800"}]}'
        answer = await client.post("/v1/replays", content=half, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422)
        assert (await client.get(f"/v1/replays/{new_id()}")).status_code == 404
        assert (await client.post(f"/v1/replays/{new_id()}/stop")).status_code == 404

    on_a_gateway(tmp_path, use)
