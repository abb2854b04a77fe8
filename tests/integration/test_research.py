"""The contract of research runs on the real stack, spoken by `requests` as the old clients do, and a run that is killed in each
of its stages. Bodies are checked against docs/contracts/research.schema.json."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import jsonschema
import psycopg
import pytest
import requests

from processors.research.graph import STAGES
from streams.client.submitter import Submitter
from streams.settings import Settings
from streams.sink import Sink
from streams.timekeeper import Timekeeper
from tests.harness.installation import installation
from tests.harness.lab import running_gateway
from tests.harness.processors.research_counted import Journal, installed
from tests.harness.services import Service
from tests.harness.source_tree import ROOT
from tests.harness.waiting import in_thread, wait_until

pytestmark = pytest.mark.stack

SCHEMA = json.loads((ROOT / "docs" / "contracts" / "research.schema.json").read_text())
#: Seconds that a worker may take to start on a busy machine.
START_S = 90.0
DOCUMENTS = {
    "bread.md": "# Bread\n\nBread is baked from flour, water and yeast. The dough has to rise before it is baked.\n",
    "지하철.txt": "서울의 지하철은 1974년에 처음 개통되었다. 김치는 배추로 만든다.",
}


def check(name: str, body: Any) -> Any:
    """Check a body against a definition of the contract's schema; return it."""
    jsonschema.validate(body, {"$ref": f"#/$defs/{name}", **SCHEMA}, cls=jsonschema.Draft202012Validator)
    return body


@dataclass
class Backend:
    """A client of the research backend, the worker behind it, and the worker's journal of stages."""

    url: str
    settings: Settings
    journal: Journal
    worker: Service | None = None

    def start_worker(self) -> Service:
        self.worker = Service(self.settings, ["worker", "research"])
        return self.worker

    def ask(self, method: str, path: str, definition: str, status: int = 200, body: Any = None) -> Any:
        answer = requests.request(method, f"{self.url}{path}", json=body, timeout=60)
        assert answer.status_code == status, answer.text
        return check(definition, answer.json())

    def task(self, task_id: str) -> Any:
        return self.ask("GET", f"/api/task/{task_id}", "task")

    def ended(self, task_id: str) -> Any:
        """Poll a task as the old front end does, until it has ended."""

        def poll() -> Any:
            found = self.task(task_id)
            return found if found["status"] in ("success", "failure") else None

        return wait_until(poll, lambda: f"{self.task(task_id)}: {self.log()}", START_S)

    def is_at(self, task_id: str, step: str) -> bool:
        """True if a run is held in a step, and its task shows the stage's text."""
        if self.journal.lines(task_id)[-1:] != [f"begin {step}"]:
            return False
        shown = self.task(task_id)
        return (shown["status"], shown.get("message")) == ("progress", STAGES[step.partition("-")[0]])

    def log(self) -> str:
        return "no worker" if self.worker is None else self.worker.last_lines()

    def is_healthy(self) -> bool:
        return requests.get(f"{self.url}/api/celery/health", timeout=5).status_code == 200


@pytest.fixture(scope="module")
def backend(stack: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    folder = tmp_path_factory.mktemp("연구")
    documents, journal = folder / "문서", Journal(folder / "journal")
    documents.mkdir()
    for name, text in DOCUMENTS.items():
        (documents / name).write_text(text, encoding="utf-8")
    with ExitStack() as parts:
        patch = parts.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("RESEARCH_DOCUMENTS", str(documents))
        patch.setenv("RESEARCH_JOURNAL", str(journal.path))
        patch.setenv("PYTHONPATH", installed(folder / "site"))
        own: dict[str, Any] = {"processors": ("research",), "rollout": "research=counted"}
        settings = parts.enter_context(installation(stack, folder / "home", **own))
        parts.enter_context(in_thread(Sink(settings, notify=False).run))
        parts.enter_context(in_thread(Timekeeper(settings).run))
        url = parts.enter_context(running_gateway(settings, gateway_research=True))
        made = Backend(url, settings, journal)
        parts.callback(lambda: made.worker and made.worker.stop())
        yield made


def test_the_contract_from_the_submit_to_the_result(backend: Backend) -> None:
    # Without a worker everything says so, and what is accepted waits.
    backend.ask("GET", "/api/celery/health", "unhealthy", 503)
    assert backend.ask("POST", "/api/research", "error", 503, {"topic": "bread"})["code"] == "NO_WORKER"
    waiting = backend.ask("POST", "/api/research/async", "accepted", body={"query": "What is bread made from?"})
    assert "No worker of research runs" in waiting["message"]
    assert backend.task(waiting["task_id"])["status"] == "pending"
    assert backend.task("an-id-of-celery")["status"] == "pending"

    backend.start_worker()
    wait_until(backend.is_healthy, backend.log, START_S)
    backend.ask("GET", "/api/celery/health", "healthy")
    english = backend.ended(waiting["task_id"])["result"]
    assert "- Bread is baked from flour, water and yeast. [1]" in english["report"]
    asked = {"query": "서울 지하철은 언제 개통되었나요?"}
    korean = backend.ended(backend.ask("POST", "/api/research/async", "accepted", body=asked)["task_id"])["result"]
    assert "- 서울의 지하철은 1974년에 처음 개통되었다. [1]" in korean["report"]
    assert (korean["language"], [each["name"] for each in korean["sources"]]) == ("ko", ["지하철.txt"])
    topic = {"topic": "The moon landing of 1969", "constraints": ["Neil Armstrong's steps"]}
    nothing = backend.ask("POST", "/api/research", "result", body=topic)
    assert (nothing["found"], "Nothing about this was found in 2 local documents." in nothing["report"]) == (
        False,
        True,
    )
    refused = backend.ask("POST", "/api/research/async", "error", 422, {"topic": "no query"})
    assert isinstance(refused["detail"], str)
    failed = backend.ask("POST", "/api/research", "error", 422, {"topic": "bread", "constraints": [" "]})
    assert "moon" not in json.dumps(failed)

    with psycopg.connect(backend.settings.database) as connection:
        stored = connection.execute(
            "SELECT output->>'report' FROM outcomes WHERE output->>'language' = 'ko'"
        ).fetchall()
    assert stored == [(korean["report"],)]


def test_a_run_that_is_killed_in_each_stage_resumes_there_and_runs_nothing_twice(backend: Backend) -> None:
    worker = backend.worker or backend.start_worker()
    wait_until(backend.is_healthy, backend.log, START_S)
    held = ("initialize", "create_graph", "research-1", "finalize")
    for step in held:
        backend.journal.hold(step).touch()
    job = {"query": "What is bread made from?", "constraints": ["dough rises"]}
    with Submitter(backend.settings) as submitter:
        task_id = submitter.submit("research", job).job_id
    for step in held:
        wait_until(partial(backend.is_at, task_id, step), backend.log, START_S)
        if step == "research-1":
            worker.kill()  # the whole worker: its lease expires, and another one takes the run
            worker.start()
        else:
            (child,) = worker.children()
            os.kill(child, signal.SIGKILL)
        backend.journal.hold(step).unlink()
    done = backend.ended(task_id)
    steps = ["initialize", "create_graph", "research-0", "research-1", "finalize"]
    lines = backend.journal.lines(task_id)
    assert [line for line in lines if line.startswith("end")] == [f"end {step}" for step in steps]
    assert [lines.count(f"begin {step}") for step in steps] == [2, 2, 1, 2, 2]  # only what was killed began again
    assert done["status"] == "success", done
    assert [each["name"] for each in done["result"]["sources"]] == ["bread.md"]
    with psycopg.connect(backend.settings.database) as connection:
        outcomes = connection.execute("SELECT count(*) FROM outcomes WHERE job_id = %s", [task_id]).fetchall()
    assert outcomes == [(1,)]
