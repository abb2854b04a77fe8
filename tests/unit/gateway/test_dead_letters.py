"""Dead letters over HTTP, on twins in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.access_store import SCOPES
from gateway.principal import Principal
from schemas import headers
from schemas.headers import dead_letter_headers
from schemas.ids import new_id
from streams.settings import Settings
from tests.harness.gateway_app import memory_settings, serving
from tests.harness.sink_kit import open_sink, step_and_settle, write
from tests.harness.stores import Stores, ended, requested

Use = Callable[[httpx.AsyncClient, Settings], Awaitable[None]]
EVERYONE = {"Authorization": "Bearer *"}


class _ByName:
    """A token is `TENANT`, with every scope, or `TENANT.SCOPE`."""

    async def principal(self, token: str) -> Principal | None:
        tenant, _, scope = token.partition(".")
        return Principal(tenant, frozenset([scope] if scope else SCOPES), token)


def on_a_gateway(home: Path, use: Use) -> None:
    async def run() -> None:
        async with serving(memory_settings(home)) as (client, ports):
            ports.authenticator = _ByName()
            client.headers.update({"Authorization": "Bearer clinic"})
            await use(client, ports.settings)

    asyncio.run(run())


def letter(settings: Settings, value: bytes | None = b"no avro", job: str | None = None) -> None:
    """Write a dead letter of `requests.echo`, of a job of tenant `clinic`, and let the sink read it."""
    if job is not None:
        from uuid import UUID

        stores = Stores(settings)
        head = {"tenant": "clinic"}
        stores.store(requested(UUID(job), 0, header=head), ended(UUID(job), 1, header=head))
        stores.close()
    reasons = dead_letter_headers(
        reason="UNDECODABLE", message="no Avro", topic="requests.echo", partition=0, offset=7, attempts=1, worker="w"
    )
    named = {} if job is None else {headers.JOB: job.encode()}
    write(settings, settings.topics.dead_letters, value, {**named, **reasons}.items(), partition=0)
    with closing(open_sink(settings)) as sink:
        step_and_settle(sink)


def test_dead_letters_are_listed_grouped_and_explained(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, settings: Settings) -> None:
        job = new_id()
        letter(settings, job=job)
        letter(settings)
        page = (await client.get("/v1/dead-letters", params={"limit": 1}, headers=EVERYONE)).json()
        rest = (await client.get("/v1/dead-letters", params={"cursor": page["next_cursor"]}, headers=EVERYONE)).json()
        assert [one["place"] for one in (*page["items"], *rest["items"])] == ["0:1", "0:0"]
        [group] = (await client.get("/v1/dead-letters/groups", headers=EVERYONE)).json()["items"]
        assert (group["letters"], group["reason"], group["newest"]) == (2, "UNDECODABLE", "0:1")
        shown = (await client.get("/v1/dead-letters/places/0:0")).json()
        assert (shown["letter"]["job_id"], shown["hex"], shown["redrivable"]) == (job, b"no avro".hex(), False)
        assert shown["redrive"].startswith("A redrive would fail: ")

    on_a_gateway(tmp_path, use)


def test_a_redrive_is_tried_dry_and_then_started_and_a_drop_says_who(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, settings: Settings) -> None:
        letter(settings, job=new_id())
        dry = (await client.post("/v1/dead-letters/redrive", json={"places": ["0:0"], "dry_run": True})).json()
        assert (dry["replay_id"], dry["letters"], [one["place"] for one in dry["refused"]]) == (
            None,
            1,
            ["dead-letters[0]@0"],
        )
        edit = [{"op": "add", "path": "", "value": {"message": "mended"}}]
        body = {"reason": "UNDECODABLE", "edit": edit, "note": "typed by hand"}
        assert (await client.post("/v1/dead-letters/redrive", json={**body, "dry_run": True})).json()["refused"] == []
        started = await client.post("/v1/dead-letters/redrive", json=body)
        assert (started.status_code, started.json()["letters"]) == (202, 1)
        again = await client.post("/v1/dead-letters/redrive", json={"places": ["0:0"]})
        assert (again.status_code, again.json()["code"]) == (409, "CONFLICT")
        letter(settings, job=new_id())
        dropped = await client.post("/v1/dead-letters/drop", json={"places": ["0:1"], "note": "a test"})
        assert dropped.json() == {"letters": 1}
        found = (await client.get("/v1/dead-letters", params={"state": "all"})).json()["items"]
        assert [(one["state"], one["note"], one["changed_by"]) for one in found] == [
            ("dropped", "a test", "clinic of clinic"),
            ("redriven", "typed by hand", "clinic of clinic"),
        ]

    on_a_gateway(tmp_path, use)


def test_a_tenant_sees_and_touches_only_the_dead_letters_of_its_jobs(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, settings: Settings) -> None:
        letter(settings, job=new_id())
        letter(settings)
        assert [one["place"] for one in (await client.get("/v1/dead-letters")).json()["items"]] == ["0:0"]
        other = {"Authorization": "Bearer other"}
        assert (await client.get("/v1/dead-letters/groups", headers=other)).json()["items"] == []
        answers = [
            await client.get("/v1/dead-letters/places/0:1"),
            await client.get("/v1/dead-letters/places/0:0", headers=other),
            await client.post("/v1/dead-letters/drop", json={"places": ["0:1"], "note": "x"}),
            await client.post("/v1/dead-letters/redrive", json={"places": ["0:0"]}, headers=other),
        ]
        assert [(each.status_code, each.json()["code"]) for each in answers] == [(404, "NOT_FOUND")] * 4
        none = await client.post("/v1/dead-letters/drop", json={"reason": "UNDECODABLE", "note": "x"}, headers=other)
        assert none.json() == {"letters": 0}

    on_a_gateway(tmp_path, use)


def test_dead_letters_need_the_scope_operate(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, settings: Settings) -> None:
        reader = {"Authorization": "Bearer clinic.read"}
        calls: list[Any] = [
            ("GET", ""),
            ("GET", "/groups"),
            ("GET", "/places/0:1"),
            ("POST", "/redrive"),
            ("POST", "/drop"),
        ]
        for method, path in calls:
            answer = await client.request(method, f"/v1/dead-letters{path}", headers=reader, json={})
            assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")

    on_a_gateway(tmp_path, use)


@pytest.mark.parametrize("body", [{}, {"places": []}, {"places": ["1:1"], "group": "0" * 12}, {"places": ["x"]}])
def test_a_selection_that_names_nothing_or_two_things_is_refused(tmp_path: Path, body: dict[str, Any]) -> None:
    async def use(client: httpx.AsyncClient, settings: Settings) -> None:
        answer = await client.post("/v1/dead-letters/redrive", json=body)
        assert answer.status_code in (400, 422)

    on_a_gateway(tmp_path, use)
