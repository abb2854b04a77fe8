"""Dead letters on the real stack: found and shown by `sluice dlq`, redriven after a fix, with one outcome a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from schemas import headers
from schemas.ids import new_id
from streams.cli.run import run
from streams.client.submitter import Submitter
from streams.log import kafka
from streams.settings import Settings
from tests.harness.services import environment, running
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack

PATIENCE_S = 20.0
Sluice = Callable[..., Any]


@pytest.fixture
def sluice(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sluice:
    """Run `sluice dlq …` with --json and return what it printed."""
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)

    def call(*argv: str) -> Any:
        capsys.readouterr()
        assert run(["dlq", *argv, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return call


def limit(settings: Settings, topic: str, size: int) -> None:
    """Set the size of the largest record that a topic takes."""
    entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = kafka.admin(settings)  # kept: without it, nothing waits for the answer
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(10)


def outcomes(settings: Settings, processor: str = "echo") -> dict[str, list[tuple[int, str, str | None]]]:
    """Return run, status and error code of the outcomes of each job."""
    found: dict[str, list[tuple[int, str, str | None]]] = {}
    with psycopg.connect(settings.database) as database:
        rows = database.execute(
            "SELECT job_id::text, run, status, error_code FROM outcomes ORDER BY job_id, run"
        ).fetchall()
    for job_id, *outcome in rows:
        found.setdefault(job_id, []).append((outcome[0], outcome[1], outcome[2]))
    return found


def test_dead_letters_are_found_shown_and_redriven_after_a_fix(
    settings: Settings, sluice: Sluice, tmp_path: Path
) -> None:
    named, topic = new_id(), settings.topics.requests("echo")
    limit(settings, settings.topics.results("echo"), 3000)
    with (
        running(settings, ["worker", "echo"], ["sink"], ["timekeeper"]),
        Submitter(settings) as submitter,
    ):
        # Kafka refuses all results of a batch that is too large for the topic: the small ones are sent again.
        small = [submitter.submit_nowait("echo", {"message": "y" * 400}) for _ in range(30)]
        large = submitter.submit("echo", {"message": "x" * 4000}).job_id
        producer = kafka.producer(settings)
        producer.produce(topic, b"no avro", headers=[(headers.JOB, named.encode())])
        producer.produce(topic, b"no avro and no job")
        assert producer.flush(10) == 0

        def grouped() -> list[dict[str, Any]] | None:
            found: list[dict[str, Any]] = sluice("list")
            return found if sum(group["letters"] for group in found) == 3 else None

        groups = wait_until(grouped, lambda: f"dead letters: {sluice('list', '--each')}", PATIENCE_S)
        assert [(group["reason"], group["letters"]) for group in groups] == [
            ("UNDECODABLE", 2),
            ("PAYLOAD_TOO_LARGE", 1),
        ]
        shown = sluice("show", groups[1]["fingerprint"])["letter"]
        assert (shown["letter"]["job_id"], len(shown["value"]["input"]["message"])) == (large, 4000)

        limit(settings, settings.topics.results("echo"), 1_000_000)
        sluice("redrive", "--reason", "PAYLOAD_TOO_LARGE", "--wait")
        patch = tmp_path / "patch.json"
        patch.write_text(json.dumps([{"op": "add", "path": "", "value": {"message": "mended"}}]))
        dry = sluice("redrive", "--reason", "UNDECODABLE", "--dry-run")
        assert (dry["dead_letters"], len(dry["refused"])) == (2, 2)
        assert sluice("redrive", "--reason", "UNDECODABLE", "--edit", str(patch))["published"] == 2

        def ended() -> dict[str, list[tuple[int, str, str | None]]] | None:
            found = outcomes(settings)
            return found if len(found) == 33 and sum(map(len, found.values())) == 35 else None

        found = wait_until(ended, lambda: f"outcomes: {outcomes(settings)}", PATIENCE_S)
    assert found[large] == [(0, "FAILED", "PAYLOAD_TOO_LARGE"), (1, "COMPLETED", None)]
    assert found[named] == [(0, "FAILED", "UNDECODABLE"), (1, "COMPLETED", None)]
    assert {job: found[job] for job in small} == {job: [(0, "COMPLETED", None)] for job in small}
    [(_, made)] = [(job, runs) for job, runs in found.items() if job not in (large, named, *small)]
    assert made == [(0, "COMPLETED", None)]
    assert sluice("list") == []
    assert {row["state"] for row in sluice("list", "--each", "--state", "all")} == {"redriven"}
