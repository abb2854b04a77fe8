"""The audit on a real log and a real database: a clean run with a sink that was killed, planted losses, and retention."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from confluent_kafka import TopicPartition

from schemas.records import JobHeader
from streams.audit.once import audit
from streams.audit.report import canonical
from streams.audit.scope import Scope
from streams.log import kafka
from streams.settings import Settings
from streams.sink import Sink
from tests.harness.scribe import Scribe, header
from tests.harness.services import environment
from tests.harness.waiting import in_thread, wait_until

pytestmark = pytest.mark.stack

CALLBACK = {"callback_url": "http://127.0.0.1:9/done"}


def kinds(settings: Settings) -> dict[str, int]:
    return {one["kind"]: one["count"] for one in audit(settings, Scope())["findings"]}


@pytest.fixture
def jobs(settings: Settings, scribe: Scribe) -> Iterator[list[JobHeader]]:
    """Yield jobs that have ended, through a sink that was killed in between; another sink runs on."""
    made = [header(**CALLBACK) for _ in range(20)]
    for job in made[:10]:
        scribe.request(job)
        scribe.result(job)
    with subprocess.Popen([sys.executable, "-m", "streams.cli", "sink"], env=environment(settings)) as first:
        scribe.wait(made[0], "COMPLETED")
        os.kill(first.pid, signal.SIGKILL)
    for job in made[10:]:
        scribe.request(job)
        scribe.result(job, "failed" if job is made[10] else "succeeded")
    with in_thread(Sink(settings, notify=False).run):
        wait_until(
            lambda: scribe.rows("SELECT count(*) FROM outcomes") == [(20,)], lambda: "the sink has not stored them all"
        )
        yield made


def run(settings: Settings, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streams.cli", "audit", *options]
    return subprocess.run(command, env=environment(settings), capture_output=True, text=True, check=False)


def test_the_audit_is_clean_after_a_kill_finds_what_is_taken_away_and_says_what_retention_took(
    settings: Settings, scribe: Scribe, jobs: list[JobHeader], tmp_path: Path
) -> None:
    page, document = tmp_path / "audit.html", tmp_path / "audit.json"
    done = run(settings, "--json", "--report", str(page), "--report", str(document))
    made: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode, made["findings"], made["clean"]) == (0, [], True), done.stderr
    assert made["runs"]["state"] == {"COMPLETED": 19, "FAILED": 1}
    assert made["runs"]["callback"] == {"pending": 20}
    assert json.loads(document.read_text()) == made
    assert made["sha256"] == hashlib.sha256(canonical(made)).hexdigest()
    assert made["sha256"] in page.read_text()

    _plant(scribe, [UUID(job.job_id) for job in jobs])
    expected = {
        "accepted_unknown": 1, "delivery_doubled": 1, "delivery_early": 2, "delivery_failed": 1, "delivery_missing": 1,
        "not_recorded": 1, "not_stored": 2, "outcome_differs": 2, "outcome_missing": 1, "state_contradicts": 3,
    }  # fmt: skip
    assert kinds(settings) == expected

    _delete_requests(settings, scribe)
    left = audit(settings, Scope())["runs"]
    assert "log, live lane" not in left["accepted"]
    assert left["accepted"]["request left the log"] == 17


def _plant(scribe: Scribe, ids: list[UUID]) -> None:
    """Take rows away, and change some."""
    for sql, n in (
        ("DELETE FROM runs WHERE job_id = %s", 0),
        ("DELETE FROM jobs WHERE job_id = %s", 1),
        ("DELETE FROM outcomes WHERE job_id = %s", 2),
        ("DELETE FROM runs WHERE job_id = %s", 3),
        ("DELETE FROM outcomes WHERE job_id = %s", 3),
        ("DELETE FROM deliveries WHERE job_id = %s", 4),
        ("UPDATE deliveries SET state = 'parked' WHERE job_id = %s", 5),
        ("UPDATE outcomes SET output = '{}' WHERE job_id = %s", 6),
        ("UPDATE outcomes SET status = 'COMPLETED', error_code = NULL WHERE job_id = %s", 10),
        ("DELETE FROM history WHERE job_id = %s AND kind = 'result'", 7),
        (
            "INSERT INTO deliveries SELECT gen_random_uuid(), job_id, run, kind, sequence, destination, state, tries, due_at "
            "FROM deliveries WHERE job_id = %s",
            8,
        ),
    ):
        scribe.rows(f"{sql} RETURNING 1", ids[n])


def _delete_requests(settings: Settings, scribe: Scribe) -> None:
    """Delete all requests, as retention does."""
    topic, admin = scribe.names.requests("echo"), kafka.admin(settings)
    partitions = range(len(admin.list_topics(topic, timeout=10).topics[topic].partitions))
    futures = admin.delete_records([TopicPartition(topic, number, -1) for number in partitions], operation_timeout=10)
    for future in futures.values():
        future.result(15)
