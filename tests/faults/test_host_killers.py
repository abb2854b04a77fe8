"""After a worker's crash done work stays done, and a job that kills its host is found and dead-lettered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from schemas import headers
from schemas.records import EchoInput
from streams.admin import topics
from streams.log import kafka
from streams.settings import Settings
from streams.worker.kafka_source.offset_metadata import CommitMetadata, decode
from tests.harness.group_times import shorten
from tests.harness.processors.killer import KILLER, installed
from tests.harness.services import Service
from tests.harness.worker_log import WorkerLog, executions, header, outcome

pytestmark = pytest.mark.stack

INNOCENTS = 50


@pytest.fixture
def log(settings: Settings) -> Iterator[WorkerLog]:
    topics.apply(settings, [KILLER])
    shorten(settings, "killer")
    made = WorkerLog(settings, KILLER)
    yield made
    made.close()


def job(log: WorkerLog, message: str, partition: int = 0) -> str:
    """Ask for one; returns its id."""
    asked = header(processor="killer")
    log.place(partition, log.request(asked, EchoInput(message)), asked.job_id)
    return asked.job_id


def last_commit(settings: Settings, partition: int) -> CommitMetadata | None:
    """Return the metadata of the group's last commit."""
    topic = settings.topics.requests("killer")
    consumer = kafka.consumer(settings, f"{settings.topic_prefix}workers.killer", **kafka.OUTSIDE)
    (committed,) = consumer.committed([TopicPartition(topic, partition)], timeout=10)
    consumer.close()
    parts = (committed.metadata or "").split(" ")
    return decode(committed.offset, committed.metadata, parts[2]) if len(parts) == 4 else None


def test_jobs_done_beyond_a_long_one_are_not_repeated_after_kill_9(
    settings: Settings, log: WorkerLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = tmp_path / "gate"
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", "Gated"))
    monkeypatch.setenv("SLUICE_TEST_GATE", str(gate))
    slow = job(log, "wait")
    quick = {job(log, "go") for _ in range(100)}
    worker = Service(settings, ["worker", "killer"])
    log.read_results_of(quick)
    log.read_until(
        lambda: (commit := last_commit(settings, 0)) is not None and commit.snapshot.end == 101 and holes(commit) == 1
    )
    worker.kill()
    worker.start()
    log.read_until(lambda: (commit := last_commit(settings, 0)) is not None and commit.snapshot.spans[0].crashes == 1)
    gate.touch()
    after = job(log, "go")
    log.read_results_of({slow, after})
    assert worker.stop() == 0
    assert executions(log, slow) == [2]
    assert {tuple(executions(log, one)) for one in quick | {after}} == {(1,)}


def holes(commit: CommitMetadata) -> int:
    """Return how many offsets are unfinished."""
    return sum(span.stop - span.start for span in commit.snapshot.spans)


def test_a_job_that_kills_its_host_three_times_is_dead_lettered_and_its_partition_moves_on(
    settings: Settings, log: WorkerLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", "HostKiller"))
    before = {job(log, "work", n % 2) for n in range(INNOCENTS // 2)}
    killer = job(log, "kill")
    behind = {job(log, "work", n % 2) for n in range(INNOCENTS // 2)}
    worker = Service(settings, ["worker", "killer"])
    crashes = 0

    def all_ended() -> bool:
        nonlocal crashes
        if worker.process.poll() is not None:
            crashes += 1
            worker.start()
        return bool(log.dead) and {killer, *before, *behind} <= log.results.keys()

    log.read_until(all_ended)
    assert worker.stop() == 0
    assert crashes in (3, 4), "at most one end is not counted: the first, when nothing was known yet"
    assert {outcome for one in before | behind for outcome in outcomes(log, one)} == {("succeeded", None)}
    assert outcome(log, killer) == ("failed", "WORKER_LOST")
    assert executions(log, killer) == [3]
    ((_, fields),) = log.dead
    assert fields[headers.DL_REASON] == b"WORKER_LOST"
    assert fields[headers.JOB] == killer.encode()


def outcomes(log: WorkerLog, job_id: str) -> set[tuple[str, str | None]]:
    """Of each result of a job."""
    errors = [(plain["result"]["disposition"], plain["result"]["error"]) for plain in log.results[job_id]]
    return {(disposition, None if error is None else error["code"]) for disposition, error in errors}
