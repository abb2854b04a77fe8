"""Audits over HTTP, on twins in memory."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from connectors.access_store import EVERY_TENANT
from gateway import audit_runs
from gateway.ports import Ports
from gateway.principal import Principal
from streams.audit.report import canonical
from streams.testing.flow import Flow
from tests.harness.gateway_app import serving
from tests.harness.settled_flow import OUTCOMES, Settled

Use = Callable[[httpx.AsyncClient, Ports], Awaitable[None]]


class _ByName:
    """A token is the name of a tenant, with the scope `operate`; `reader` may only read."""

    async def principal(self, token: str) -> Principal | None:
        return Principal(token, frozenset(["read"] if token == "reader" else ["operate"]), token)


def on_a_gateway(flow: Flow, use: Use, token: str = EVERY_TENANT) -> None:
    async def run() -> None:
        async with serving(flow.settings.model_copy(update={"gateway_auth": "open"})) as (client, ports):
            ports.authenticator = _ByName()
            client.headers["Authorization"] = f"Bearer {token}"
            await use(client, ports)

    asyncio.run(run())


def an_hour(flow: Flow) -> dict[str, Any]:
    return {"since": (flow.now - timedelta(hours=1)).isoformat()}


def test_the_report_is_that_of_the_command_and_its_hash_is_of_its_own_json() -> None:
    with Flow("echo") as flow:
        well = Settled(flow)
        well.drop(OUTCOMES)

        async def use(client: httpx.AsyncClient, _: Ports) -> None:
            answer = await client.post("/v1/audits", json=an_hour(flow))
            made = answer.json()
            assert (answer.status_code, made["clean"], made["complete"]) == (200, False, True)
            [finding] = made["findings"]
            assert (finding["kind"], finding["examples"][0]["job_id"]) == ("not_published", well.job)
            assert made["sha256"] == hashlib.sha256(canonical(made)).hexdigest()

        on_a_gateway(flow, use)


def test_a_tenants_token_sees_its_own_jobs_only() -> None:
    with Flow("echo") as flow:
        for tenant in ("clinic", "other", "other"):
            flow.submit("echo", {"message": "x"}, tenant=tenant)
        flow.settle()

        async def use(client: httpx.AsyncClient, _: Ports) -> None:
            made = (await client.post("/v1/audits", json=an_hour(flow))).json()
            assert made["runs"]["state"] == {"COMPLETED": 1}
            assert made["scope"]["tenant"] == "clinic"

        on_a_gateway(flow, use, "clinic")


def test_an_audit_needs_the_scope_operate_a_time_and_a_bounded_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_runs, "MOST_REQUESTS", 2)
    with Flow("echo") as flow:
        Settled(flow)

        async def use(client: httpx.AsyncClient, _: Ports) -> None:
            wanted = an_hour(flow)
            backwards = {"since": wanted["since"], "until": wanted["since"]}
            answers = [await client.post("/v1/audits", json=body) for body in (wanted, backwards, {})]
            assert [answer.status_code for answer in answers] == [422, 422, 422]
            assert "reads 2 at most" in answers[0].json()["detail"]
            unknown = await client.post("/v1/audits", json=wanted | {"processors": ["nothing"]})
            assert unknown.status_code == 404
            reader = {"Authorization": "Bearer reader"}
            assert (await client.post("/v1/audits", json=wanted, headers=reader)).status_code == 403

        on_a_gateway(flow, use)


def test_a_long_audit_is_answered_with_an_id_and_any_gateway_has_its_report_for_its_tenant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audit_runs, "WAIT_S", 0.0)
    with Flow("echo") as flow:
        Settled(flow)

        async def use(client: httpx.AsyncClient, ports: Ports) -> None:
            answer = await client.post("/v1/audits", json=an_hour(flow))
            assert answer.status_code == 202
            path = f"/v1/audits/{answer.json()['audit_id']}"
            assert ports.audits._running is not None
            await asyncio.wait([ports.audits._running])
            await asyncio.sleep(0)  # its callbacks
            await asyncio.get_running_loop().run_in_executor(ports.audits._thread, lambda: None)
            report = await client.get(path)
            assert (report.status_code, report.json()["clean"]) == (200, True)
            assert (await client.get(path, headers={"Authorization": "Bearer clinic"})).status_code == 404
            assert (await client.get("/v1/audits/nothing")).status_code == 404

        on_a_gateway(flow, use)
