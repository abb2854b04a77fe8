"""Jobs over HTTP, on twins in memory."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.access_store import SCOPES
from connectors.views import JobStatus
from gateway.ports import Ports
from gateway.principal import Principal
from gateway.reading import JobReader
from schemas.errors import Unreachable
from schemas.ids import derived_id, is_job_id
from streams.client.requests import RequestEncoders
from tests.harness.gateway_app import memory_settings, serving
from tests.harness.sink_kit import open_sink, step_and_settle
from tests.harness.waiting import wait_until

ECHO = {"processor": "echo", "input": {"message": "hello"}}
Use = Callable[[httpx.AsyncClient, Ports], Awaitable[Any]]


class _ByName:
    """A token is `TENANT`, with every scope."""

    async def principal(self, token: str) -> Principal | None:
        return Principal(token, frozenset(SCOPES), token)


def as_tenant(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}"}


def on_a_gateway(home: Path, use: Use, **settings: Any) -> Any:
    """Run `use` with a client of tenant `clinic`."""

    async def run() -> Any:
        async with serving(memory_settings(home, **settings)) as (client, ports):
            ports.authenticator = _ByName()
            client.headers.update(as_tenant("clinic"))
            return await use(client, ports)

    return asyncio.run(run())


@asynccontextmanager
async def sinking(ports: Ports) -> AsyncIterator[Callable[[], None]]:
    """Yield a function that stores everything in the log as the sink does."""
    session = open_sink(ports.settings)
    try:
        yield lambda: step_and_settle(session)
    finally:
        session.close()


def test_a_job_is_accepted_published_and_read_before_the_sink_has_seen_it(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> None:
        body = {**ECHO, "external_id": "e1", "labels": {"ward": "7"}, "deadline": "2033-01-01T00:00:00Z"}
        answer = await client.post("/v1/jobs", json=body)
        job = answer.json()
        assert (answer.status_code, answer.headers["location"]) == (202, f"/v1/jobs/{job['job_id']}")
        assert is_job_id(job["job_id"])
        assert (job["state"], job["tenant"], job["external_id"]) == ("PENDING", "clinic", "e1")
        again = (await client.get(job["links"]["self"])).json()
        job["queue"] = None  # only the answer to the submit has it
        assert again == job
        async with sinking(ports) as sink:
            sink()
        stored = (await client.get(job["links"]["self"])).json()
        assert {**stored, "updated_at": job["updated_at"]} == job
        [listed] = (await client.get("/v1/jobs?external_id=e1")).json()["items"]
        assert listed == stored

    on_a_gateway(tmp_path, use)


def test_one_key_makes_one_job_and_another_input_is_a_conflict(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> None:
        async def submit(**headers: str) -> httpx.Response:
            return await client.post("/v1/jobs", json=ECHO, headers={"Idempotency-Key": "k", **headers})

        answers = await asyncio.gather(*(submit() for _ in range(100)))
        assert {answer.json()["job_id"] for answer in answers} == {derived_id("clinic", "echo", "k")}
        assert sorted(answer.status_code for answer in answers) == [200] * 99 + [202]
        other = await submit(**as_tenant("lab"))
        assert (other.status_code, other.json()["job_id"]) == (202, derived_id("lab", "echo", "k"))
        changed = await client.post(
            "/v1/jobs", json={**ECHO, "input": {"message": "else"}}, headers={"Idempotency-Key": "k"}
        )
        assert (changed.status_code, changed.json()["code"]) == (409, "CONFLICT")
        async with sinking(ports) as sink:
            sink()
        assert (await submit()).status_code == 200
        assert len((await client.get("/v1/jobs")).json()["items"]) == 1

    on_a_gateway(tmp_path, use)


def test_one_tenant_sees_nothing_of_another(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> None:
        job = (await client.post("/v1/jobs", json=ECHO)).json()
        batch = (await client.post("/v1/batches", json={"processor": "echo", "inputs": [{"message": "a"}]})).json()
        for _ in range(2):  # before and after the sink has read them
            for path in (job["links"]["self"], batch["links"]["self"]):
                foreign = await client.get(path, headers=as_tenant("lab"))
                assert (foreign.status_code, (await client.get(path)).status_code) == (404, 200)
            for path in (job["links"]["cancel"], batch["links"]["cancel"]):
                assert (await client.post(path, headers=as_tenant("lab"))).status_code == 404
            async with sinking(ports) as sink:
                sink()
        cursor = (await client.get("/v1/jobs?limit=1")).json()["next_cursor"]
        for query in ("", f"?cursor={cursor}", f"?batch_id={batch['batch_id']}"):
            assert (await client.get(f"/v1/jobs{query}", headers=as_tenant("lab"))).json()["items"] == []

    on_a_gateway(tmp_path, use)


@pytest.mark.parametrize(
    ("body", "status", "code", "said"),
    [
        ({**ECHO, "processor": "ecoh"}, 422, "UNKNOWN_PROCESSOR", "echo"),
        ({**ECHO, "input": {"massage": "x"}}, 422, "INVALID_INPUT", "massage"),
        ({**ECHO, "input": {"message": 7}}, 422, "INVALID_INPUT", "message"),
        ({"processor": "embed", "input": {"pixels": [float("nan")] * 64}}, 422, "INVALID_INPUT", "NaN"),
        ({**ECHO, "input": {"message": "x" * 300_000}}, 413, "PAYLOAD_TOO_LARGE", "262144"),
        ({**ECHO, "callback_url": "http://169.254.169.254/latest"}, 422, "INVALID_INPUT", "not a public address"),
        ({**ECHO, "callback_url": "http://0x7f.1:5432/"}, 422, "INVALID_INPUT", "not a public address"),
        ({**ECHO, "callback_url": "https://user:secret@backend.example/"}, 422, "INVALID_INPUT", "password"),
        ({**ECHO, "deadline": "2001-01-01T00:00:00Z"}, 422, "INVALID_INPUT", "passed"),
        ({**ECHO, "deadline": "tomorrow"}, 422, "INVALID_INPUT", "interface"),
        ({**ECHO, "tenant": "lab"}, 422, "INVALID_INPUT", "interface"),
        ({**ECHO, "max_attempts": "3"}, 422, "INVALID_INPUT", "interface"),
    ],
)
def test_bad_input_is_refused_at_the_edge_with_the_reason(
    tmp_path: Path, body: dict[str, Any], status: int, code: str, said: str
) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> httpx.Response:
        answer = await client.post("/v1/jobs", content=json.dumps(body), headers={"Content-Type": "application/json"})
        return answer

    answer = on_a_gateway(tmp_path, use)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.text


def test_a_name_that_utf_8_can_not_hold_is_refused_like_any_other(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, _: Ports) -> httpx.Response:
        body = r'{"processor": "echo", "input": {"message": "a", "\ud800": 1}}'
        return await client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})

    answer = on_a_gateway(tmp_path, use)
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_INPUT")


def test_a_validation_error_names_the_field_and_never_the_value(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, _: Ports) -> httpx.Response:
        return await client.post("/v1/jobs", json={**ECHO, "case_id": ["Jane Doe"], "labels": {"a": {"Jane": "Doe"}}})

    answer = on_a_gateway(tmp_path, use)
    assert answer.status_code == 422
    assert ["body", "case_id"] in [each["loc"] for each in answer.json()["errors"]]
    assert "Jane" not in answer.text


def test_a_batch_is_accepted_whole_and_its_progress_counts_every_job(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> None:
        inputs: list[dict[str, Any]] = [{"message": str(n)} for n in range(5)]
        body = {"processor": "echo", "inputs": inputs, "case_id": "c"}
        bad = {**body, "inputs": [*inputs, {"message": 5}]}
        refused = await client.post("/v1/batches", json=bad)
        assert (refused.status_code, "inputs[5]" in refused.json()["detail"]) == (422, True)
        key = {"Idempotency-Key": "night-1"}
        first = await client.post("/v1/batches", json=body, headers=key)
        again = await client.post("/v1/batches", json=body, headers=key)
        other = await client.post("/v1/batches", json={**body, "inputs": [{"message": "x"}]}, headers=key)
        assert [answer.status_code for answer in (first, again, other)] == [202, 200, 409]
        batch = first.json()
        assert (batch["total"], batch["counts"], batch["done"]) == (5, {"PENDING": 5}, False)
        assert batch["job_ids"] == again.json()["job_ids"]
        assert len(set(batch["job_ids"])) == 5
        async with sinking(ports) as sink:
            sink()
        read = (await client.get(batch["links"]["self"])).json()
        assert (read["counts"], read["ended"], read["job_ids"]) == ({"PENDING": 5}, 0, None)
        jobs = (await client.get(batch["links"]["jobs"])).json()["items"]
        assert {job["job_id"] for job in jobs} == set(batch["job_ids"])

    on_a_gateway(tmp_path, use)


def test_pages_follow_each_other_without_gap_or_repetition(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> None:
        submitted = [(await client.post("/v1/jobs", json=ECHO)).json()["job_id"] for _ in range(7)]
        async with sinking(ports) as sink:
            sink()
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = (await client.get("/v1/jobs", params={"limit": 3, **({"cursor": cursor} if cursor else {})})).json()
            found += [job["job_id"] for job in page["items"]]
            cursor = page["next_cursor"]
        assert found == submitted[::-1]
        assert (await client.get("/v1/jobs?cursor=%00")).status_code == 422

    on_a_gateway(tmp_path, use)


def test_a_cancel_is_requested_and_a_wait_ends_with_the_job_or_its_time(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> None:
        job = (await client.post("/v1/jobs", json=ECHO)).json()
        answer = await client.post(job["links"]["cancel"], json={"reason": "wrong series"})
        assert (answer.status_code, answer.json()["job_id"]) == (202, job["job_id"])
        waited = await client.get(job["links"]["self"], params={"wait": 0.1})
        assert waited.json()["state"] == "PENDING"

    on_a_gateway(tmp_path, use)


def test_a_wrong_body_is_answered_with_the_header_or_the_type_it_needs_and_never_its_value(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, _: Ports) -> None:
        undeclared = (await client.post("/v1/jobs", content=json.dumps(ECHO))).json()
        assert "Content-Type: application/json" in undeclared["next_step"]
        wrong = (await client.post("/v1/jobs", json={"processor": "echo", "input": {"message": ["Anna"]}})).json()
        assert "message: it must be string, not list" in wrong["detail"]
        assert wrong["next_step"]
        assert "Anna" not in json.dumps(wrong)

    on_a_gateway(tmp_path, use)


def test_a_processor_that_is_left_out_is_refused_and_not_suggested(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient, _: Ports) -> None:
        for path, inputs in (("/v1/jobs", {"input": {}}), ("/v1/batches", {"inputs": [{}]})):
            answer = await client.post(path, json={"processor": "embed", **inputs})
            assert (answer.status_code, answer.json()["code"]) == (422, "UNKNOWN_PROCESSOR")
            assert answer.json()["next_step"] == "Served: echo."

    on_a_gateway(tmp_path, use, processors=("echo",))


def test_a_wait_for_a_named_run_ends_with_that_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(client: httpx.AsyncClient, ports: Ports) -> None:
        job = (await client.post("/v1/jobs", json=ECHO)).json()
        status = await ports.reader.status(job["job_id"], "clinic")

        async def ended(*_: Any) -> list[JobStatus]:
            return [replace(status, state="COMPLETED")]

        monkeypatch.setattr(JobReader, "_statuses_of", ended)
        for query, state in (("run=0", "PENDING"), ("run=0&wait=30", "COMPLETED")):
            assert (await client.get(f"{job['links']['self']}?{query}")).json()["state"] == state

    on_a_gateway(tmp_path, use)


def test_encoders_are_made_at_the_start_and_a_registry_that_is_away_does_not_stop_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use(_: httpx.AsyncClient, ports: Ports) -> None:
        await asyncio.to_thread(
            wait_until, lambda: ports.encoders.is_made("echo", "bulk"), lambda: "no encoder was made"
        )

    on_a_gateway(tmp_path, use, processors=("echo",))

    asked = threading.Event()

    def away(*_: Any) -> Any:
        asked.set()
        raise Unreachable("The registry does not answer.")

    monkeypatch.setattr(RequestEncoders, "encoder", away)

    async def served(client: httpx.AsyncClient, _: Ports) -> None:
        await asyncio.to_thread(asked.wait, 10)
        assert (await client.get("/v1/processors")).status_code == 200

    on_a_gateway(tmp_path, served, processors=("echo",))
