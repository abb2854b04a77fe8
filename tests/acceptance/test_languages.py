"""Programs in other languages read decoded requests and results, with their own libraries."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench.receiver import Receiver
from schemas.ids import new_id
from schemas.records import EchoInput
from streams.client.submitter import Submitter
from streams.settings import Settings
from tests.harness.services import running

pytestmark = [pytest.mark.accept, pytest.mark.stack]

ROOT = Path(__file__).parents[2]
READERS = {
    "kafkajs": ["node", str(Path(__file__).parent / "readers/node/read.js")],
    "franz-go": [str(ROOT / ".tools/bin/sluice-reader")],
}
JOBS = 20


def read(reader: str, settings: Settings, topic: str) -> list[dict[str, Any]]:
    argv = [*READERS[reader], settings.bootstrap, settings.registry_url, topic, str(JOBS)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("reader", READERS)
def test_another_language_reads_requests_and_results_decoded(settings: Settings, reader: str) -> None:
    case = new_id()
    with (
        Receiver() as receiver,
        running(settings, ["worker", "echo"], ["sink"]),
        Submitter(settings) as submitter,
    ):
        ids = [
            submitter.submit("echo", EchoInput(f"grüße {n}"), callback_url=receiver.url, case_id=case).job_id
            for n in range(JOBS)
        ]
        assert receiver.wait_for(JOBS, 60)
    requests = read(reader, settings, settings.topics.requests("echo"))
    results = read(reader, settings, settings.topics.results("echo"))
    assert {row["value"]["header"]["job_id"] for row in requests} == set(ids)
    assert {row["headers"]["sluice-job"] for row in results} == set(ids)
    messages = {branch(row["value"]["output"], "EchoOutput")["message"] for row in results}
    assert messages == {f"grüße {n}" for n in range(JOBS)}
    assert {branch(row["value"]["header"]["case_id"], "string") for row in requests} == {case}


def branch(value: Any, name: str) -> Any:
    """Return the value of a union: some libraries wrap it in the name of its branch, some do not."""
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)).split(".")[-1] == name:
        return next(iter(value.values()))
    return value
