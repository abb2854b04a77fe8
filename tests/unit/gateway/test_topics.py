"""Topics, lag and records over HTTP, for operators of every tenant only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.access_store import SCOPES
from gateway import topics
from gateway.ports import Ports
from gateway.principal import Principal
from schemas.records import EchoInput
from streams.client.submitter import Submitter
from streams.log import kafka
from tests.harness.gateway_app import memory_settings, serving

RECORDS = "/v1/topics/requests.echo/records"


class _ByName:
    """A token is `TENANT`, with every scope, or `TENANT.SCOPE`."""

    async def principal(self, token: str) -> Principal | None:
        tenant, _, scope = token.partition(".")
        return Principal(tenant, frozenset([scope] if scope else SCOPES), token)


def on_a_gateway(home: Path, use: Callable[[httpx.AsyncClient, Ports], Awaitable[None]]) -> None:
    async def run() -> None:
        async with serving(memory_settings(home)) as (client, ports):
            ports.authenticator = _ByName()
            client.headers["Authorization"] = "Bearer *.operate"
            await use(client, ports)

    asyncio.run(run())


def submit(ports: Ports, *messages: str) -> list[str]:
    with Submitter(ports.settings) as submitter:
        return [submitter.submit("echo", EchoInput(each), order_key="one").job_id for each in messages]


async def read(client: httpx.AsyncClient, path: str, **parameters: Any) -> dict[str, Any]:
    answer = await client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("token", ["clinic", "clinic.operate", "*.work"])
def test_a_token_of_one_tenant_or_without_the_scope_sees_no_record(tmp_path: Path, token: str) -> None:
    async def use(client: httpx.AsyncClient, _: Ports) -> None:
        client.headers["Authorization"] = f"Bearer {token}"
        for path in ("/v1/topics", "/v1/lag", RECORDS):
            assert (await client.get(path)).status_code == 403

    on_a_gateway(tmp_path, use)


def test_topics_and_lag_are_those_of_the_commands(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> None:
        submit(ports, "a", "b")
        found = {each["name"]: each for each in (await read(client, "/v1/topics"))["items"]}
        assert (found["requests.echo"]["records"], found["requests.echo"]["readers"]) == (2, ["workers.echo"])
        lag = {
            (each["group"], each["topic"]): each for each in (await read(client, "/v1/lag", partitions=True))["items"]
        }
        workers = lag["workers.echo", "requests.echo"]
        assert (workers["records"], workers["no_commit"], len(workers["partitions"])) == (2, 0, 2)
        assert workers["seconds"] >= 0
        assert lag["sink", "requests.echo"]["records"] is None

    on_a_gateway(tmp_path, use)


def test_records_are_read_page_by_page_and_by_an_expression(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> None:
        jobs = submit(ports, *"abcde")
        newest = await read(client, RECORDS, limit=2)
        assert [each["value"]["input"]["message"] for each in newest["items"]] == ["d", "e"]
        assert newest["next_offset"] is None
        partition = newest["items"][0]["partition"]
        first = await read(client, RECORDS, partition=partition, offset=0, limit=3)
        assert ([each["offset"] for each in first["items"]], first["next_offset"]) == ([0, 1, 2], 3)
        assert (first["complete"], "--max" in first["partial"]) == (False, True)
        rest = await read(client, RECORDS, partition=partition, offset=3)
        assert ([each["offset"] for each in rest["items"]], rest["next_offset"], rest["complete"]) == ([3, 4], 5, True)
        assert (await read(client, RECORDS, partition=partition, offset=5))["next_offset"] == 5
        one = await read(client, RECORDS, where=f"value.header.job_id == '{jobs[1]}'")
        assert ([each["key"] for each in one["items"]], one["complete"], one["read"]) == (["one"], True, 5)

    on_a_gateway(tmp_path, use)


def test_any_record_is_shown_and_a_page_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> None:
        producer = kafka.producer(ports.settings)
        for value in (b"\xff\x00", None, b'{"a": NaN}'):
            producer.produce("requests.echo", value, partition=0)
        producer.flush()
        page = await read(client, RECORDS, partition=0, offset=0)
        assert [(each["format"], each["value"]) for each in page["items"]] == [
            ("bytes", "ff00"),
            ("tombstone", None),
            ("json", {"a": "nan"}),
        ]
        monkeypatch.setattr(topics, "PAGE_BYTES", 1)
        full = await read(client, RECORDS, partition=0, offset=0)
        assert (len(full["items"]), full["next_offset"], full["partial"]) == (1, 1, "the page is full")

    on_a_gateway(tmp_path, use)


@pytest.mark.parametrize(
    ("path", "parameters", "status"),
    [
        (RECORDS, {"where": "value."}, 422),
        (RECORDS, {"offset": 3}, 422),
        (RECORDS, {"partition": 99}, 404),
        ("/v1/topics/__consumer_offsets/records", {}, 404),
        ("/v1/topics/nowhere/records", {}, 404),
    ],
)
def test_a_wrong_question_is_a_problem(tmp_path: Path, path: str, parameters: dict[str, Any], status: int) -> None:
    async def use(client: httpx.AsyncClient, _: Ports) -> None:
        answer = await client.get(path, params=parameters)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")

    on_a_gateway(tmp_path, use)
