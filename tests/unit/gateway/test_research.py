"""The door of research runs: its four endpoints, their states and errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from gateway.research import tasks
from schemas.errors import StartupError, Unreachable
from tests.harness.gateway_on_twins import TenantTokens
from tests.harness.source_tree import ROOT
from tests.unit.gateway.research_kit import TEXT, ResearchBackend

SCHEMA = json.loads((ROOT / "docs" / "contracts" / "research.schema.json").read_text())
UNKNOWN = "019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10"


def check(name: str, body: Any) -> Any:
    jsonschema.validate(body, {"$ref": f"#/$defs/{name}", **SCHEMA}, cls=jsonschema.Draft202012Validator)
    return body


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ResearchBackend]:
    with ResearchBackend(tmp_path_factory.mktemp("documents")) as backend:
        yield backend


def test_a_task_is_pending_and_then_successful_with_its_result(backend: ResearchBackend) -> None:
    answer = backend.ask(
        "POST", "/api/research/async", json={"query": "What is bread made from?", "user": "unknown key"}
    )
    accepted = check("accepted", answer.json())
    assert accepted["status"] == "processing"
    assert check("task", backend.task(accepted["task_id"]))["status"] == "pending"
    backend.flow.settle()
    done = check("task", backend.task(accepted["task_id"]))
    assert done["status"] == "success"
    assert done.keys() == {"task_id", "status", "result"}  # absent, not null
    assert TEXT.partition(". ")[0] in done["result"]["report"]
    assert done["result"]["query"] == "What is bread made from?"


def test_a_running_task_shows_the_text_of_its_stage(backend: ResearchBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    task_id = backend.start()
    backend.flow.settle()
    real = backend.ports.reader.status

    async def running(job_id: str, tenant: str, run: int | None = None) -> Any:
        status = await real(job_id, tenant, run)
        return type(status)(
            **{**vars_of(status), "state": "PROCESSING", "message": "Running research...", "percent": 20.0}
        )

    monkeypatch.setattr(backend.ports.reader, "status", running)
    assert check("task", backend.task(task_id)) == {
        "task_id": task_id,
        "status": "progress",
        "message": "Running research...",
        "progress": 20.0,
    }


def vars_of(status: Any) -> dict[str, Any]:
    return {name: getattr(status, name) for name in type(status).__dataclass_fields__}


@pytest.mark.parametrize("task_id", [UNKNOWN, "celery-task-7", "%00", "../x".replace("/", "%2F")])
def test_an_unknown_task_is_pending_as_in_celery(backend: ResearchBackend, task_id: str) -> None:
    answer = backend.ask("GET", f"/api/task/{task_id}")
    if answer.status_code != 404:  # a path that is none of ours
        assert check("task", answer.json())["status"] == "pending"


def test_another_tenants_task_and_another_processors_job_are_pending(tmp_path: Path) -> None:
    with ResearchBackend(tmp_path, gateway_auth="open") as backend:
        mine = backend.start()
        backend.flow.settle()
        backend.ports.authenticator = TenantTokens()
        others = backend.task(mine, auth=("backend", "other"))
        assert others["status"] == "pending"
        assert backend.ask("GET", f"/api/task/{mine}").status_code == 401
        assert backend.ask("POST", "/api/research/async", content=b"{").status_code == 401


def test_a_task_that_failed_says_why(backend: ResearchBackend) -> None:
    task_id = backend.start("too long")
    backend.flow.settle()
    failed = check("task", backend.task(task_id))
    assert (failed["status"], failed["error_code"]) == ("failure", "TIMEOUT_ERROR")
    assert "soft limit" in failed["error"]
    assert "result" not in failed


def test_a_repetition_with_the_same_key_is_the_same_task(backend: ResearchBackend) -> None:
    key = {"Idempotency-Key": "run-7"}
    assert backend.start(headers=key) == backend.start(headers=key)
    other = backend.ask("POST", "/api/research/async", json={"query": "another"}, headers=key)
    assert (other.status_code, check("error", other.json())["code"]) == (409, "CONFLICT")


@pytest.mark.parametrize(
    ("constraints", "looked_up"),
    [
        ("dough rises", ["dough rises"]),
        (["dough rises", "flour"], ["dough rises", "flour"]),
        ({"about": "dough", "years": [2020, 2021], "x": None}, ["about: dough", "years: 2020, 2021"]),
        (None, []),
        ("", []),
    ],
)
def test_the_synchronous_route_answers_with_the_result(
    backend: ResearchBackend, constraints: Any, looked_up: Any
) -> None:
    backend.worker_asks()
    answer = backend.answered(topic="What is bread made from?", constraints=constraints)
    assert answer.status_code == 200, answer.text
    result = check("result", answer.json())
    assert (result["status"], result["query"]) == ("completed", "What is bread made from?")
    for each in looked_up:
        assert f"### {each}" in result["report"]
    assert backend.task(result["session_id"])["result"] == {k: v for k, v in result.items() if v is not None}


def test_the_synchronous_route_gives_the_runs_error_its_status(backend: ResearchBackend) -> None:
    backend.worker_asks()
    answer = backend.answered(topic="too long")
    assert answer.status_code == 504
    body = check("error", answer.json())
    assert "soft limit" in body["detail"]
    assert backend.task(body["task_id"])["status"] == "failure"


def test_a_client_that_hangs_up_ends_its_wait_and_not_its_run(backend: ResearchBackend) -> None:
    async def waits(_: httpx.AsyncClient) -> tuple[str, Any]:
        status = await tasks.submit(backend.ports, "default", "What is bread made from?")

        async def gone() -> bool:
            return True

        return status.job_id, await tasks.finished(backend.ports, "default", status, gone)

    task_id, result = backend.visit(waits)
    assert result is None
    backend.flow.settle()
    assert backend.task(task_id)["status"] == "success"


def test_a_gateway_that_stops_says_where_the_result_will_be(tmp_path: Path) -> None:
    with ResearchBackend(tmp_path) as backend:
        backend.worker_asks()
        backend.ports.stopping.set()
        answer = backend.ask("POST", "/api/research", json={"topic": "bread"})
        assert answer.status_code == 503
        body = check("error", answer.json())
        assert (body["code"], body["task_id"] in body["next_step"]) == ("STOPPING", True)


def test_health_is_ok_while_a_worker_asks_and_an_error_without_one(tmp_path: Path) -> None:
    with ResearchBackend(tmp_path) as backend:
        answer = backend.ask("GET", "/api/celery/health")
        assert answer.status_code == 503
        assert check("unhealthy", answer.json())["message"] == tasks.NO_WORKER
        refused = backend.ask("POST", "/api/research", json={"topic": "bread"})
        assert (refused.status_code, check("error", refused.json())["code"]) == (503, "NO_WORKER")
        waits = backend.ask("POST", "/api/research/async", json={"query": "bread"})
        assert tasks.NO_WORKER in check("accepted", waits.json())["message"]
        backend.worker_asks()
        answer = backend.ask("GET", "/api/celery/health")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok", "message": "Celery worker is running"})
        check("healthy", answer.json())


def test_health_is_an_error_when_the_database_does_not_answer(
    backend: ResearchBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreachable(_: Any) -> None:
        raise Unreachable("The database does not answer.")

    monkeypatch.setattr(backend.ports.lab.leases, "call", unreachable)
    answer = backend.ask("GET", "/api/celery/health")
    assert (answer.status_code, answer.json()["message"]) == (503, "The database does not answer.")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/research/async", {}),
        ("/api/research/async", {"query": " "}),
        ("/api/research/async", {"query": 7}),
        ("/api/research/async", {"query": "x" * 4001}),
        ("/api/research/async", {"query": "a\x00b"}),
        ("/api/research", {"query": "bread"}),
        ("/api/research", {"topic": "bread", "constraints": 7}),
        ("/api/research", {"topic": "bread", "constraints": [""]}),
        ("/api/research", {"topic": "bread", "constraints": ["x"] * 11}),
        ("/api/research", {"topic": "bread", "constraints": {"x": {"y": 1}}}),
        ("/api/research", []),
    ],
)
def test_a_body_that_does_not_fit_is_refused_and_not_repeated(backend: ResearchBackend, path: str, body: Any) -> None:
    answer = backend.ask("POST", path, json=body)
    assert answer.status_code == 422
    assert isinstance(check("error", answer.json())["detail"], str)
    assert "bread" not in answer.text


def test_the_door_is_closed_by_default_and_needs_its_processor(backend: ResearchBackend, tmp_path: Path) -> None:
    with ResearchBackend(tmp_path, gateway_research=False) as closed:
        assert closed.ask("GET", "/api/celery/health").status_code == 404
    tasks.check(backend.settings)
    with pytest.raises(StartupError, match="SLUICE_GATEWAY_RESEARCH"):
        tasks.check(backend.settings.model_copy(update={"processors": ("echo",)}))
