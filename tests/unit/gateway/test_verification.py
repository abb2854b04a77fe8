"""An operator compares an outcome with its receipt over HTTP; a tenant sees its own jobs alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import httpx
import pytest

from gateway.principal import Principal
from schemas.ids import new_id
from streams import wiring
from streams.testing import Flow
from tests.harness.gateway_app import serving

Use = Callable[[httpx.AsyncClient], Awaitable[None]]


class _ByName:
    """A token is `TENANT.SCOPE`."""

    async def principal(self, token: str) -> Principal | None:
        tenant, _, scope = token.partition(".")
        return Principal(tenant, frozenset({scope}), token)


@pytest.fixture
def flow() -> Iterator[Flow]:
    with Flow("echo") as made:
        yield made


def on_a_gateway(flow: Flow, use: Use) -> None:
    async def run() -> None:
        async with serving(flow.settings.model_copy(update={"gateway_auth": "open"})) as (client, ports):
            ports.authenticator = _ByName()
            await use(client)

    asyncio.run(run())


async def verification(client: httpx.AsyncClient, job: str, token: str) -> httpx.Response:
    return await client.get(f"/v1/jobs/{job}/verification", headers={"Authorization": f"Bearer {token}"})


def test_an_outcome_is_compared_and_a_changed_row_differs(flow: Flow) -> None:
    job = flow.submit("echo", {"message": "hello"}, tenant="clinic")
    flow.settle()

    async def use(client: httpx.AsyncClient) -> None:
        body = (await verification(client, job, "clinic.operate")).json()
        assert (body["job_id"], body["run"], body["verified"]) == (job, 0, True)
        assert [(each["name"], each["result"]) for each in body["checks"]] == [("input", "ok"), ("record", "ok")]
        database = wiring._memory(flow.settings)
        assert database is not None
        for row in database.outcomes.values():
            row.output = b'{"message": "other", "length": 5}'
        body = (await verification(client, job, "*.operate")).json()
        assert body["verified"] is False
        assert "output.message" in body["checks"][1]["detail"]
        assert "hello" not in str(body)

    on_a_gateway(flow, use)


def test_it_needs_the_scope_operate_an_own_job_and_one_that_has_ended(flow: Flow) -> None:
    job = flow.submit("echo", {"message": "hello"}, tenant="clinic")
    flow.settle(worker=False)

    async def use(client: httpx.AsyncClient) -> None:
        assert (await verification(client, job, "clinic.operate")).json()["code"] == "NOT_FINISHED"
        assert (await verification(client, job, "clinic.read")).status_code == 403
        assert (await verification(client, job, "other.operate")).status_code == 404
        assert (await verification(client, new_id(), "clinic.operate")).status_code == 404

    on_a_gateway(flow, use)
