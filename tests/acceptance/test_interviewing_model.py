"""Questions and scores by a real language model, through workers: two servers by other hands run a model trained here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from streams.client.submitter import Submitter
from tests.harness.contracts import checker
from tests.harness.gguf_files import write_gguf
from tests.harness.installation import installation
from tests.harness.language_peers import Peer, llama_server, transformers_serve
from tests.harness.services import Service, running
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.accept

#: A directory that `processors.language.train_tiny --interviews` made, to save its three minutes.
TRAINED = os.environ.get("TINY_INTERVIEWER_DIR")
#: Seconds for a worker to start, and for two sets of questions on a busy core.
PATIENCE_S = 300.0
FACTS = {
    "positions": ["Backend engineer"],
    "companies": ["Acme"],
    "skills": ["Kafka", "Python"],
    "projects": ["ledger"],
}
ANSWER = {"question": "Tell me about a project.", "answer": "I moved our billing to Kafka and wrote a checker for it."}
#: Reasons for which a question of this model is not asked.
FAULTS = ("repeated", "cut", "too_long")
check = checker("interview")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if TRAINED:
        return Path(TRAINED)
    made = tmp_path_factory.mktemp("model") / "tiny-interviewer"
    subprocess.run([sys.executable, "-m", "processors.language.train_tiny", str(made), "--interviews"], check=True)
    return made


@pytest.fixture(params=["transformers", "llama.cpp"])
def peer(request: pytest.FixtureRequest, directory: Path, tmp_path: Path) -> Iterator[Peer]:
    if request.param == "transformers":
        started = transformers_serve(directory, tmp_path / "log")
    else:
        started = llama_server(write_gguf(directory, tmp_path / "tiny-interviewer.gguf"), tmp_path / "log")
    with started as peer:
        yield peer


def outcome(database: str, job_id: str, worker: Service) -> Any:
    """Wait for a job's outcome; return its output."""
    with psycopg.connect(database, autocommit=True) as connection:
        query = "SELECT status, output FROM outcomes WHERE job_id = %s"
        row = wait_until(lambda: connection.execute(query, (job_id,)).fetchone(), worker.last_lines, PATIENCE_S)
    assert row[0] == "COMPLETED", worker.last_lines()
    return row[1]


def test_questions_and_scores_through_a_worker_are_the_models(
    peer: Peer, stack: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Repeated questions are the default's. A score that breaks its schema, which llama.cpp enforces, is the heuristic's."""
    for name, value in {"LLM_URL": peer.url, "LLM_MODEL": peer.model, "INTERVIEW_LANGUAGES": "en,ko"}.items():
        monkeypatch.setenv(name, value)
    sets = [{"mode": "set", "language": each, "role": "data engineer", "facts": FACTS} for each in ("en", "ko")]
    with (
        installation(stack, tmp_path / "home", processors=("question", "evaluate")) as settings,
        Submitter(settings) as submitter,
        running(settings, ["worker", "question", "evaluate", "--device", "cpu"], ["sink"]) as (worker, _),
    ):
        jobs = [submitter.submit("question", each).job_id for each in sets]
        jobs.append(submitter.submit("evaluate", ANSWER).job_id)
        *questions, score = [outcome(settings.database, job_id, worker) for job_id in jobs]
    for found in questions:
        sources = [(row["source"], row["reason"]) for row in check("question", found)["questions"]]
        print(peer.model, found["language"], sources)
        assert found["model"] == peer.model
        assert sources[:2] == [("template", None)] * 2
        assert ("llm", None) in sources
        assert set(sources[2:]) <= {("llm", None), *(("fallback", reason) for reason in FAULTS)}
    print(peer.model, check("evaluate", score))
    expected = ("llm", None) if peer.model == "tiny-interviewer" else ("fallback", "invalid_answer")
    assert (score["method"], score["reason"]) == expected
