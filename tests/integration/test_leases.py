"""Custody by lease on real parts: leases that expire, results that come too late, and a worker that is stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas import headers
from schemas.errors import ExitCode
from streams import wiring
from streams.admin import topics
from tests.harness.leased_road import COMMANDS, Road, leased_road
from tests.harness.processors.leased import LEASED, installed
from tests.harness.services import Service, running
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def road(stack: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Road]:
    with leased_road(stack, tmp_path_factory.mktemp("leases")) as made:
        yield made


def test_a_job_whose_leases_expire_too_often_ends_as_worker_lost(road: Road) -> None:
    job = road.submit("work")
    store = wiring.lease_store(road.settings)
    for execution in (1, 2):
        (grant,) = store.claim("leased", "careless", 1, 0.05, executions=2, wait_s=20)
        assert grant.execution == execution
    road.wait(job, "FAILED")
    store.close()
    assert road.outcome(job)[1] == "WORKER_LOST"
    (dead,) = road.scribe.messages(road.scribe.names.dead_letters, 1)
    assert dead.value() == grant.value
    assert dict(dead.headers())[headers.DL_ATTEMPTS] == b"2"


def test_only_a_success_counts_from_an_older_execution(road: Road) -> None:
    job = road.submit("work")
    store = wiring.lease_store(road.settings)
    (stale,) = store.claim("leased", "first", 1, 0.05, wait_s=20)
    (current,) = store.claim("leased", "second", 1, 60, wait_s=20)
    assert (stale.execution, current.execution) == (1, 2)
    assert current.fence > stale.fence
    road.tell(job, "failed", execution=1)
    wait_until(lambda: road.kinds(job) == ["request", "superseded"], lambda: str(road.kinds(job)))
    road.tell(job, "retry", execution=1)
    wait_until(lambda: road.kinds(job) == ["request", "superseded", "superseded"], lambda: str(road.kinds(job)))
    assert road.state(job)[0] == "PENDING"
    assert current.hold.key in store.heartbeat("second", [current.hold], 60).renewed
    road.tell(job, "succeeded", execution=1)
    road.wait(job, "COMPLETED")
    assert current.hold.key in store.heartbeat("second", [current.hold], 60).lost
    store.close()


def test_a_stopped_worker_releases_what_it_can_not_finish(road: Road) -> None:
    job = road.submit("long", 60_000)
    with running(road.settings.model_copy(update={"drain_s": 0.2}), COMMANDS[0]) as (worker,):
        road.wait(job, "PROCESSING")
        assert road.lease(job) == ("held", 1, 1, 0)
        assert worker.stop() == 0
        assert road.lease(job) == ("waiting", 1, 2, 0)


def test_a_policy_that_contradicts_its_contract_stops_the_worker_with_a_clear_error(
    road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "other", "ByOffset"))
    service = Service(road.settings, COMMANDS[0])
    assert service.process.wait(60) == ExitCode.INTERNAL
    logged = service.log.read_text()
    assert [word for word in ("'leased'", "'lease'", "'offset'", "ProcessorContract") if word not in logged] == []


def test_no_worker_group_is_planned_for_a_leased_processor(road: Road) -> None:
    assert [change for change in topics.plan(road.settings, [LEASED]) if "workers.leased" in change.target] == []
