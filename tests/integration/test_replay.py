"""Replays on a real stack: of 10,000 jobs the 700 that failed, exactly once, although command and leader are killed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import TopicPartition

from schemas.states import Lane
from streams import wiring
from streams.cli.run import run
from streams.client.submitter import Submitter
from streams.log import kafka
from streams.settings import Settings
from streams.sink import Sink
from tests.harness.installation import installation
from tests.harness.services import Service, environment
from tests.harness.waiting import in_thread, wait_until

pytestmark = pytest.mark.stack

JOBS = 10_000
FAILURES = {"INVALID_INPUT": 400, "MODEL_NOT_FOUND": 200, "CLAIM_MISMATCH": 100}


class Site(NamedTuple):
    settings: Settings
    worker: Service
    timekeepers: list[Service]


@pytest.fixture(scope="module")
def site(stack: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An installation in which 10,000 jobs have ended. Two timekeepers run, each in a process of its own."""
    homes = [tmp_path_factory.mktemp(name) for name in ("site", "other")]
    with installation(stack, homes[0]) as settings, ExitStack() as running:
        running.enter_context(in_thread(Sink(settings, notify=False).run))
        other = settings.model_copy(update={"home": homes[1]})
        services = [Service(settings, ["worker", "echo"]), *(Service(one, ["timekeeper"]) for one in (settings, other))]
        for service in services:
            running.callback(service.kill)
        with Submitter(settings) as submitter:
            list(submitter.submit_many("echo", inputs()))
        await_counts(settings, {"COMPLETED": JOBS - 700, "FAILED": 700})
        yield Site(settings, services[0], services[1:])


def inputs() -> Iterator[dict[str, Any]]:
    """Every fourteenth input fails, with one of three kinds of error, until 700 do."""
    kinds = iter([code for code, count in FAILURES.items() for _ in range(count)])
    for n in range(JOBS):
        code = next(kinds, None) if n % 14 == 0 else None
        yield {"message": str(n), "fail": code}


def await_counts(settings: Settings, expected: dict[str, int]) -> None:
    with wiring.job_store(settings) as store:
        wait_until(lambda: store.counts() == expected, lambda: f"{store.counts()} instead of {expected}", 60.0)


@pytest.fixture
def sluice(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    for name, value in environment(site.settings).items():
        monkeypatch.setenv(name, value)

    def call(*argv: str) -> Any:
        capsys.readouterr()
        assert run([*argv, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return call


def test_failures_are_found_counted_and_replayed_exactly_once_although_everything_is_killed(
    site: Site, sluice: Any, tmp_path: Path
) -> None:
    for code, count in FAILURES.items():
        found = sluice("replay", "--error", code, "--dry-run")
        assert (found["jobs"], found["parked"], found["refused"]) == (count, 0, [])
    patch = tmp_path / "mended.json"
    patch.write_text('[{"op": "replace", "path": "/fail", "value": null}]')
    argv = ["replay", "--processor", "echo", "--status", "FAILED", "--rate", "400", "--edit", str(patch)]
    command = Service(site.settings.model_copy(update={"home": tmp_path}), argv)
    with wiring.replay_store(site.settings) as store:
        [replay] = wait_until(lambda: [one for one in store.replays(1) if one.published], lambda: command.last_lines())
        command.kill()
        [leader] = [one for one in site.timekeepers if "leadership_acquired" in one.last_lines()]
        leader.kill()
        killed_at = store.replay(replay.replay_id)
        assert killed_at is not None
        assert (killed_at.state, killed_at.total) == ("running", 700)
        assert 0 < killed_at.published < 700
        await_counts(site.settings, {"COMPLETED": JOBS})
        [after] = store.replays(1)
        assert (after.state, after.published, after.parked, after.failed) == ("done", 700, 0, 0)
        assert store.outcomes(replay.replay_id) == {"COMPLETED": 700}
        runs = Counter(row.run for row in store.rows(replay.replay_id, None, 1000))
        assert runs == {1: 700}
    assert rows_of_outcomes(site.settings) == {(0, "COMPLETED"): 9300, (0, "FAILED"): 700, (1, "COMPLETED"): 700}


def rows_of_outcomes(settings: Settings) -> dict[tuple[int, str], int]:
    import psycopg

    with psycopg.connect(settings.database) as connection:
        rows = connection.execute("SELECT run, status, count(*) FROM outcomes GROUP BY run, status").fetchall()
    return {(run_, status): count for run_, status, count in rows}


def test_a_replay_leaves_the_offsets_and_metadata_of_the_workers_group_as_they_are(site: Site, sluice: Any) -> None:
    site.worker.stop()
    before = committed(site.settings)
    started = sluice("replay", "--status", "COMPLETED", "--max", "300", "--rate", "10000")
    assert (started["state"], started["published"]) == ("done", 300)
    with closing(kafka.reader(site.settings)) as reader:
        bulk = site.settings.topics.requests("echo", Lane.BULK)
        ends = sum(reader.get_watermark_offsets(TopicPartition(bulk, n), timeout=10.0)[1] for n in range(2))
    assert ends >= 300
    assert committed(site.settings) == before
    assert any(metadata for *_, metadata in before)


def committed(settings: Settings) -> list[tuple[str, int, int, str | None]]:
    group = f"{settings.topic_prefix}workers.echo"
    wanted = [TopicPartition(settings.topics.requests("echo", lane), n) for lane in Lane for n in range(2)]
    with closing(kafka.consumer(settings, group, **kafka.OUTSIDE)) as consumer:
        found = consumer.committed(wanted, timeout=10.0)
    return [(each.topic, each.partition, each.offset, each.metadata) for each in found]
