"""Deliveries over HTTP, on twins in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from connectors.access_store import SCOPES
from connectors.delivery_store import DestinationTries, TryRow
from gateway.ports import Ports
from gateway.principal import Principal
from streams.sink.rows import delivery_id
from tests.harness.gateway_app import memory_settings, serving
from tests.harness.stores import Stores, ended, new_job, requested

Use = Callable[[httpx.AsyncClient, Stores], Awaitable[None]]


class _ByName:
    """A token is `TENANT`, with every scope, or `TENANT.SCOPE`."""

    async def principal(self, token: str) -> Principal | None:
        tenant, _, scope = token.partition(".")
        return Principal(tenant, frozenset([scope] if scope else SCOPES), token)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def on_a_gateway(home: Path, use: Use, **settings: Any) -> None:
    """Run `use` with a client of tenant `clinic`, and the stores behind the gateway."""

    async def run() -> None:
        async with serving(memory_settings(home, **settings)) as (client, ports):
            ports.authenticator = _ByName()
            client.headers.update(bearer("clinic"))
            await use(client, stores_of(ports))

    asyncio.run(run())


def stores_of(ports: Ports) -> Stores:
    return Stores(ports.settings)


def delivery(stores: Stores, state: str = "parked", tenant: str = "clinic", url: str = "http://backend:8000/cb") -> str:
    job, head = new_job(), {"callback_url": url, "tenant": tenant}
    stores.store(requested(job, 0, header=head), ended(job, 1, header=head))
    id_ = delivery_id(job.bytes, 0)
    if state != "pending":
        stores.deliveries.record([TryRow(id_, state, 0, True, 503, 1.5, "It answered 503.")])
    return str(UUID(bytes=id_))


def test_deliveries_are_listed_by_state_and_read_with_their_tries(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, stores: Stores) -> None:
        pending, parked = delivery(stores, "pending"), delivery(stores)
        page = (await client.get("/v1/deliveries", params={"limit": 1})).json()
        assert [one["delivery_id"] for one in page["items"]] == [parked]
        rest = (await client.get("/v1/deliveries", params={"cursor": page["next_cursor"]})).json()
        assert ([one["delivery_id"] for one in rest["items"]], rest["next_cursor"]) == ([pending], None)
        found = (await client.get("/v1/deliveries", params={"state": "parked", "destination": "backend:8000"})).json()
        assert [one["delivery_id"] for one in found["items"]] == [parked]
        read = (await client.get(f"/v1/deliveries/{parked}")).json()
        assert (read["state"], read["tries_count"]) == ("parked", 1)
        assert [(one["status"], one["error"]) for one in read["tries"]] == [(503, "It answered 503.")]

    on_a_gateway(tmp_path, use)


def test_an_ended_delivery_is_sent_again_and_a_pending_one_is_a_conflict(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, stores: Stores) -> None:
        parked = delivery(stores)
        answer = await client.post(f"/v1/deliveries/{parked}/resend")
        assert (answer.status_code, answer.json()["state"]) == (202, "pending")
        again = await client.post(f"/v1/deliveries/{parked}/resend")
        assert (again.status_code, again.json()["code"]) == (409, "CONFLICT")

    on_a_gateway(tmp_path, use)


def test_a_tenant_sees_neither_the_deliveries_nor_the_destinations_of_another(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, stores: Stores) -> None:
        other = delivery(stores, tenant="other", url="http://elsewhere:1/")
        stores.deliveries.note_destinations([DestinationTries("other", "elsewhere:1", 1, 3, "secret")], [])
        assert (await client.get("/v1/deliveries")).json()["items"] == []
        for answer in (
            await client.get(f"/v1/deliveries/{other}"),
            await client.post(f"/v1/deliveries/{other}/resend"),
            await client.get("/v1/deliveries/no-id"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
        assert (await client.get("/v1/destinations")).json() == {"items": []}
        seen = (await client.get("/v1/destinations", headers=bearer("*"))).json()["items"]
        assert [(one["destination"], one["success_rate"], one["last_error"]) for one in seen] == [
            ("elsewhere:1", 0.25, "secret")
        ]

    on_a_gateway(tmp_path, use)


def test_deliveries_need_a_scope_of_their_own(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, stores: Stores) -> None:
        paths: list[Any] = [("GET", "deliveries"), ("GET", "destinations"), ("POST", "deliveries/x/resend")]
        for method, path in paths:
            answer = await client.request(method, f"/v1/{path}", headers=bearer("clinic.read"))
            assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")

    on_a_gateway(tmp_path, use)


def test_a_profile_that_is_not_declared_is_refused_at_submit_with_the_nearest_name(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, stores: Stores) -> None:
        job = {"processor": "echo", "input": {"message": "hi"}}
        refused = await client.post("/v1/jobs", json={**job, "callback_profile": "vidoe"})
        assert (refused.status_code, refused.json()["code"]) == (422, "INVALID_INPUT")
        assert "'video'" in refused.json()["next_step"]
        assert (await client.post("/v1/jobs", json={**job, "callback_profile": "video"})).status_code == 202

    file = tmp_path / "shapes.toml"
    file.write_text("[profiles.video.success]\ntimeout_s = 3")
    on_a_gateway(tmp_path, use, callback_shapes=file)
