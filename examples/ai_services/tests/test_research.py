"""Research runs: the endpoints of the old backend, states and stages without callbacks, and pages."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.kit import Gateway, backend

RESULT = {
    "status": "completed",
    "report": "# 질문\n\n- <b>답</b> [1]\n",
    "session_id": "s",
    "query": "질문",
    "language": "ko",
    "source": "fallback",
    "model": "tf-idf sentences",
    "fallback_reason": "The language model was killed.",
    "found": True,
    "documents": 2,
    "sources": [{"number": 1, "name": "문서.md", "title": "제목", "sha256": "ab" * 32}],
    "notes": [],
}


@pytest.fixture
def tasks(sluice: Gateway) -> dict[str, Any]:
    """Let the gateway accept runs as the task "t-1"; return the body of its state, for the test to change."""
    state: dict[str, Any] = {"task_id": "t-1", "status": "pending"}

    def answer(method: str, path: str, body: Any) -> tuple[int, Any]:
        accepted = {"task_id": "t-1", "status": "processing", "message": "x"}
        return 200, accepted if method == "POST" else state

    sluice.answer = answer
    return state


def started(client: httpx.Client) -> str:
    answer = client.post("/api/research/async", json={"query": "질문"})
    assert (answer.status_code, answer.json()["status"]) == (200, "processing"), answer.text
    return str(answer.json()["task_id"])


def task(client: httpx.Client, task_id: str) -> Any:
    return client.get(f"/api/task/{task_id}").json()


def test_a_run_shows_its_stages_and_then_its_report(client: httpx.Client, tasks: dict[str, Any]) -> None:
    task_id = started(client)
    assert task(client, task_id) == {"task_id": task_id, "status": "pending"}
    tasks.update(status="progress", message="Running research...", progress=55.5)
    assert task(client, task_id) == {"task_id": task_id, "status": "progress", "message": "Running research..."}
    [row] = client.get("/jobs?part=research").json()
    assert (row["state"], row["progress"], row["message"]) == ("PROCESSING", 56, "Running research...")
    tasks.update(status="success", result=RESULT)
    [row] = client.get("/jobs").json()  # a page that is open asks for it
    assert row["state"] == "COMPLETED"
    assert task(client, task_id) == {"task_id": task_id, "status": "success", "result": RESULT}
    shown = client.get(f"/research/{task_id}").text
    for text in ("&lt;b&gt;답", "문서.md", "The language model was killed.", "tf-idf sentences"):
        assert text in shown
    assert "질문" in client.get("/research").text


def test_a_failure_says_why(client: httpx.Client, tasks: dict[str, Any]) -> None:
    task_id = started(client)
    tasks.update(status="failure", error="The soft limit passed.", error_code="TIMEOUT_ERROR")
    assert task(client, task_id) == {"task_id": task_id, "status": "failure", "error": "The soft limit passed."}
    assert "TIMEOUT_ERROR" in client.get(f"/research/{task_id}").text


@pytest.mark.parametrize("task_id", ["celery-7", "5b0c7f9e-2f53-4a0e-9d0d-0a6a3f1c2b4d"])
def test_an_unknown_task_is_pending(client: httpx.Client, task_id: str) -> None:
    assert task(client, task_id) == {"task_id": task_id, "status": "pending"}


def test_a_service_that_refuses_or_is_away_is_named(client: httpx.Client, sluice: Gateway, data: Path) -> None:
    sluice.answer = lambda *_: (503, {"detail": "No worker.", "code": "NO_WORKER", "status": "error"})
    refused = client.post("/api/research/async", json={"query": "질문"})
    assert (refused.status_code, refused.json()) == (503, {"detail": "No worker."})
    assert client.get("/api/celery/health").json() == {"status": "error", "message": "No worker."}
    [row] = client.get("/jobs").json()
    assert (row["state"], row["error_code"]) == ("FAILED", "NO_WORKER")
    with backend("http://127.0.0.1:9", data) as lonely:
        assert "can&#39;t be reached" in lonely.post("/research", data={"query": "질문"}).text


def test_health_is_the_services(client: httpx.Client, sluice: Gateway) -> None:
    assert client.get("/api/celery/health").json() == {"status": "ok", "message": "Celery worker is running"}


def test_a_start_sends_what_a_process_had_stored_when_it_died(
    client: httpx.Client, sluice: Gateway, tasks: dict[str, Any], data: Path
) -> None:
    started(client)
    with psycopg.connect(os.environ["BACKEND_DATABASE_URL"]) as connection:
        connection.execute("UPDATE ai_services.research_runs SET task_id = NULL")
    with backend(sluice.url, data):
        assert [method for method, _, _ in sluice.asked] == ["POST", "POST"]
    with backend(sluice.url, data):
        assert len(sluice.asked) == 2
