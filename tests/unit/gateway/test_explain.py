"""Explanations over HTTP, on twins in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from gateway import explain
from gateway.ports import Ports
from gateway.principal import Principal
from schemas.errors import Unreachable
from streams.explain.collect import collect
from streams.explain.snapshot import Dependency, JobSnapshot, Missing
from tests.harness.gateway_app import memory_settings, serving
from tests.harness.sink_kit import open_sink, step_and_settle

ECHO = {"processor": "echo", "input": {"message": "hello"}}
Use = Callable[[httpx.AsyncClient, Ports], Awaitable[None]]


class _ByName:
    """A token is `TENANT.SCOPE,SCOPE`."""

    async def principal(self, token: str) -> Principal | None:
        tenant, _, scopes = token.partition(".")
        return Principal(tenant, frozenset(scopes.split(",")), token)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def on_a_gateway(home: Path, use: Use) -> None:
    async def run() -> None:
        async with serving(memory_settings(home)) as (client, ports):
            ports.authenticator = _ByName()
            await use(client, ports)

    asyncio.run(run())


async def explanation(client: httpx.AsyncClient, job: str, token: str, **params: Any) -> httpx.Response:
    return await client.get(f"/v1/jobs/{job}/explanation", headers=bearer(token), params=params)


async def submitted(client: httpx.AsyncClient, ports: Ports) -> str:
    answer = await client.post("/v1/jobs", json=ECHO, headers=bearer("clinic.submit"))
    sink = open_sink(ports.settings)
    step_and_settle(sink)
    sink.close()
    return str(answer.json()["job_id"])


def test_its_owner_reads_why_a_job_waits_and_an_operator_also_reads_where(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> None:
        job = await submitted(client, ports)
        owner = (await explanation(client, job, "clinic.read")).json()
        assert (owner["situation"], owner["state"]) == ("no_worker", "PENDING")
        assert owner["headline"] == "No worker of echo runs."
        assert [event["place"] for event in owner["events"]] == [None]
        assert [step["command"] for step in owner["steps"]] == [None]
        assert "requests.echo" not in str(owner)
        for token in ("clinic.read,operate", "*.operate"):
            seen = (await explanation(client, job, token)).json()
            assert seen["events"][0]["place"]["topic"] == "requests.echo"
            assert "sluice worker echo" in [step["command"] for step in seen["steps"]]

    on_a_gateway(tmp_path, use)


def test_another_tenants_job_and_an_unknown_one_are_not_found(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> None:
        job = await submitted(client, ports)
        unknown = "0198c0de-0000-7000-8000-000000000001"
        for one, token in ((job, "other.read"), (unknown, "clinic.read"), (unknown, "*.operate"), ("x", "clinic.read")):
            answer = await explanation(client, one, token)
            assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND"), one
        assert (await explanation(client, job, "clinic.submit")).status_code == 403
        assert (await explanation(client, job, "clinic.read", run=7)).status_code == 404

    on_a_gateway(tmp_path, use)


def test_while_postgres_is_away_only_the_owner_of_a_job_reads_what_the_log_says(
    tmp_path: Path, monkeypatch: Any
) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> None:
        job = await submitted(client, ports)

        async def away(*_: object) -> None:
            raise Unreachable("Postgres did not answer.")

        def collected(_: object, job_id: str, run: int | None) -> JobSnapshot:
            found = collect(ports.settings, job_id, run)
            return JobSnapshot(
                job_id, found.now, run, header=found.header, missing=[Missing(Dependency.POSTGRES, "secret:5432")]
            )

        monkeypatch.setattr(ports.reader, "status", away)
        monkeypatch.setattr(explain, "collect", collected)
        mine = await explanation(client, job, "clinic.read")
        assert (mine.status_code, mine.json()["situation"]) == (200, "not_known")
        assert mine.json()["unknown"][0].startswith("Postgres did not answer, so its stored state")
        assert (await explanation(client, job, "other.read")).status_code == 404

    on_a_gateway(tmp_path, use)
