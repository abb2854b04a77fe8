"""Tokens, quotas, the queue's estimate, and limits of requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from connectors.access_store import Quota, new_token, token_hash
from connectors.views import Backlog, EndedJobs, OpenJobs
from gateway import access, http_limits
from gateway.app import create_app
from gateway.backlog import QueueView
from gateway.models import Queue
from gateway.ports import Ports
from gateway.problems import Problem
from gateway.quotas import Quotas
from streams import wiring
from tests.harness.gateway_app import memory_settings, serving

ECHO = {"processor": "echo", "input": {"message": "hello"}}
AT = datetime(2026, 1, 1, tzinfo=UTC)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# ── tokens ──


def test_a_token_of_the_store_opens_what_its_scopes_allow_until_it_is_revoked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "KEPT_S", 0.0)
    token, settings = new_token(), memory_settings(tmp_path).model_copy(update={"gateway_auth": "token"})
    with wiring.access_store(settings) as store:
        store.create_token(token_hash(token), "backend", "clinic", ("read",), None)

    async def use() -> list[int]:
        async with serving(settings) as (client, _):
            client.headers.update(bearer(token))
            statuses = [
                (await client.get("/v1/jobs")).status_code,
                (await client.post("/v1/jobs", json=ECHO)).status_code,
            ]
            with wiring.access_store(settings) as store:
                store.revoke_token("backend")
            wrong = [await client.get("/v1/jobs", headers=bearer(each)) for each in (token, "slt_x", "x" * 9999)]
            return statuses + [answer.status_code for answer in wrong]

    assert asyncio.run(use()) == [200, 403, 401, 401, 401]


# ── quotas ──


def test_a_rate_lets_a_burst_through_and_then_so_many_a_second() -> None:
    now = 0.0
    quotas = Quotas(Quota(""), lambda: now)
    quotas.replace([Quota("clinic", jobs_per_s=2.0, burst=3)])
    for _ in range(3):
        quotas.take("clinic", 1, 0)
    with pytest.raises(Problem) as refused:
        quotas.take("clinic", 1, 0)
    assert (refused.value.status, refused.value.problem_code, refused.value.retry_after_s) == (429, "QUOTA_EXCEEDED", 1)
    quotas.take("other", 1000, 10**6)
    now = 0.5
    quotas.take("clinic", 1, 0)
    now = 10.0
    quotas.take("clinic", 9, 0)  # a batch may be larger than the burst; the next submit waits for all of it
    with pytest.raises(Problem) as later:
        quotas.take("clinic", 1, 0)
    assert later.value.retry_after_s == 4


def test_jobs_in_flight_are_limited_also_those_that_nothing_has_read_yet(tmp_path: Path) -> None:
    settings = memory_settings(tmp_path, gateway_in_flight=3)

    async def use() -> None:
        async with serving(settings) as (client, _):
            keyed = {"Idempotency-Key": "k"}
            assert (await client.post("/v1/jobs", json=ECHO, headers=keyed)).status_code == 202
            batch = {"processor": "echo", "inputs": [{"message": "x"}] * 3}
            refused = await client.post("/v1/batches", json=batch)
            assert (refused.status_code, refused.json()["code"]) == (429, "QUOTA_EXCEEDED")
            assert int(refused.headers["retry-after"]) >= 1
            answers = [(await client.post("/v1/jobs", json=ECHO)).status_code for _ in range(3)]
            assert answers == [202, 202, 429]
            assert (await client.post("/v1/jobs", json=ECHO, headers=keyed)).status_code == 200

    asyncio.run(use())


# ── the queue ──


def backlog(pending: int, running: int, ended: int, run_s: float = 0.0, lane: str = "live") -> Backlog:
    open_ = [
        OpenJobs("clinic", "echo", lane, "PENDING", pending),
        OpenJobs("clinic", "echo", lane, "PROCESSING", running),
    ]
    return Backlog(AT, [each for each in open_ if each.jobs], [EndedJobs("echo", ended, ended, run_s)])


def test_nothing_is_estimated_that_nothing_supports() -> None:
    view = QueueView()
    assert view.queue("echo", "live") is None
    view.update(backlog(5, 0, 0), 0.0)
    view.accepted("clinic", "echo", "live", 2)
    assert view.queue("echo", "live") == Queue(position=7, estimated_start_s=None, estimated_end_s=None)
    assert view.in_flight("clinic") == 7


def test_the_rate_is_that_of_times_in_which_jobs_waited() -> None:
    view = QueueView()
    view.learn({"echo": 1}, set())
    view.update(backlog(100, 1, 0), 0.0)
    view.update(backlog(80, 1, 20, run_s=1.0), 2.0)
    assert view.queue("echo", "live") == Queue(position=80, estimated_start_s=8.1, estimated_end_s=8.15)
    view.learn({"echo": 0}, set())
    assert view.queue("echo", "live") == Queue(position=80, estimated_start_s=None, estimated_end_s=None)
    view.learn({"echo": 1}, {"echo"})
    assert view.queue("echo", "live") == Queue(position=80, estimated_start_s=None, estimated_end_s=None)


def test_an_idle_processor_starts_a_job_at_once_and_bulk_waits_behind_live() -> None:
    view = QueueView()
    view.learn({"echo": 1}, set())
    view.update(backlog(0, 0, 0), 0.0)
    assert view.queue("echo", "live") == Queue(position=0, estimated_start_s=0.0, estimated_end_s=None)
    view.update(backlog(9, 0, 0, lane="bulk"), 1.0)
    queues = [view.queue("echo", lane) for lane in ("live", "bulk")]
    assert [queue.position for queue in queues if queue is not None] == [0, 9]


def test_a_deadline_that_cannot_be_met_is_refused_with_the_time_to_wait(tmp_path: Path) -> None:
    async def use() -> httpx.Response:
        with closing(Ports(memory_settings(tmp_path))) as ports:  # whose tasks do not run
            queues = ports.admission.queues
            queues.learn({"echo": 1}, set())
            queues.update(backlog(1000, 1, 0), 0.0)
            queues.update(backlog(990, 1, 10, run_s=1.0), 1.0)
            soon = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
            transport = httpx.ASGITransport(create_app(ports))
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
                return await client.post("/v1/jobs", json={**ECHO, "deadline": soon})

    answer = asyncio.run(use())
    assert (answer.status_code, answer.json()["code"]) == (503, "DEADLINE_CANNOT_BE_MET")
    assert 60 <= int(answer.headers["retry-after"]) <= 80


# ── limits of requests, and their log ──


def test_a_body_that_is_too_large_or_too_slow_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_limits, "BODY_S", 0.1)

    async def chunks(size: int, pause: float = 0.0) -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b" " * size
            await asyncio.sleep(pause)

    async def use() -> list[httpx.Response]:
        async with serving(memory_settings(tmp_path, gateway_body_mib=1)) as (client, _):
            json_ = {"Content-Type": "application/json"}
            return [
                await client.post("/v1/jobs", content=body, headers=json_)
                for body in (b" " * (1 << 21), chunks(1 << 20), chunks(1, 0.2))
            ]

    answers = asyncio.run(use())
    assert [answer.status_code for answer in answers] == [413, 413, 408]
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}


def test_requests_beyond_the_limit_are_asked_to_come_again(tmp_path: Path) -> None:
    async def use() -> tuple[int, int, str]:
        with closing(Ports(memory_settings(tmp_path, gateway_requests=1))) as ports:
            app, held = create_app(ports), asyncio.Event()

            @app.get("/held")
            async def hold() -> None:
                await held.wait()

            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
                first = asyncio.create_task(client.get("/held"))
                await asyncio.sleep(0)
                while (second := await client.get("/livez")).status_code == 200:
                    pass
                held.set()
                return (await first).status_code, second.status_code, second.headers["retry-after"]

    assert asyncio.run(use()) == (200, 503, "1")


def test_the_log_of_a_request_has_the_route_and_nothing_of_the_patient(tmp_path: Path) -> None:
    async def use() -> str:
        async with serving(memory_settings(tmp_path)) as (client, _):
            body: dict[str, Any] = {**ECHO, "case_id": "Jane Doe", "input": {"message": "Jane Doe"}}
            job_id: str = (await client.post("/v1/jobs", json=body)).json()["job_id"]
            await client.get(f"/v1/jobs/{job_id}?run=0")
            await client.get("/v1/jobs?case_id=Jane+Doe")
            await client.get("/v1/jobs/Jane Doe")
            await client.get("/Jane/Doe")
            return job_id

    with capture_logs() as logs:
        job_id = asyncio.run(use())
    lines = [line for line in logs if line["event"] == "http_request"]
    assert [(line["method"], line["route"], line["status"], line.get("job")) for line in lines] == [
        ("POST", "/v1/jobs", 202, None),
        ("GET", "/v1/jobs/{job_id}", 200, job_id),
        ("GET", "/v1/jobs", 200, None),
        ("GET", "/v1/jobs/{job_id}", 404, None),
        ("GET", None, 404, None),
    ]
    assert {line["tenant"] for line in lines} == {"default", None}
    assert "Jane" not in str(logs)
