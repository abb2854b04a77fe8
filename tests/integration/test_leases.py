"""Custody by lease on real parts: leases that expire, results that come too late, and a worker that is stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas import headers
from schemas.errors import ExitCode
from streams import wiring
from streams.admin import topics
from tests.harness.leased_services import COMMANDS, LeasedServices, leased_services
from tests.harness.processors.leased import LEASED, installed
from tests.harness.services import Service, running
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def services(stack: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LeasedServices]:
    with leased_services(stack, tmp_path_factory.mktemp("leases")) as made:
        yield made


def test_a_job_whose_leases_expire_too_often_ends_as_worker_lost(services: LeasedServices) -> None:
    job = services.submit("work")
    store = wiring.lease_store(services.settings)
    for execution in (1, 2):
        (grant,) = store.claim("leased", "careless", 1, 0.05, executions=2, wait_s=20)
        assert grant.execution == execution
    services.wait(job, "FAILED")
    store.close()
    assert services.outcome(job)[1] == "WORKER_LOST"
    (dead,) = services.scribe.messages(services.scribe.names.dead_letters, 1)
    assert dead.value() == grant.value
    assert dict(dead.headers())[headers.DL_ATTEMPTS] == b"2"


def test_only_a_success_counts_from_an_older_execution(services: LeasedServices) -> None:
    job = services.submit("work")
    store = wiring.lease_store(services.settings)
    (stale,) = store.claim("leased", "first", 1, 0.05, wait_s=20)
    (current,) = store.claim("leased", "second", 1, 60, wait_s=20)
    assert (stale.execution, current.execution) == (1, 2)
    assert current.fence > stale.fence
    services.publish_result(job, "failed", execution=1)
    wait_until(lambda: services.kinds(job) == ["request", "superseded"], lambda: str(services.kinds(job)))
    services.publish_result(job, "retry", execution=1)
    wait_until(lambda: services.kinds(job) == ["request", "superseded", "superseded"], lambda: str(services.kinds(job)))
    assert services.state(job)[0] == "PENDING"
    assert current.hold.key in store.heartbeat("second", [current.hold], 60).renewed
    services.publish_result(job, "succeeded", execution=1)
    services.wait(job, "COMPLETED")
    assert current.hold.key in store.heartbeat("second", [current.hold], 60).lost
    store.close()


def test_a_stopped_worker_releases_what_it_can_not_finish(services: LeasedServices) -> None:
    job = services.submit("long", 60_000)
    with running(services.settings.model_copy(update={"drain_s": 0.2}), COMMANDS[0]) as (worker,):
        services.wait(job, "PROCESSING")
        assert services.lease(job) == ("held", 1, 1, 0)
        assert worker.stop() == 0
        assert services.lease(job) == ("waiting", 1, 2, 0)


def test_a_policy_that_contradicts_its_contract_stops_the_worker_with_a_clear_error(
    services: LeasedServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "other", "ByOffset"))
    service = Service(services.settings, COMMANDS[0])
    assert service.ended() == ExitCode.INTERNAL
    logged = service.log.read_text()
    assert [word for word in ("'leased'", "'lease'", "'offset'", "ProcessorContract") if word not in logged] == []


def test_no_worker_group_is_planned_for_a_leased_processor(services: LeasedServices) -> None:
    assert [change for change in topics.plan(services.settings, [LEASED]) if "workers.leased" in change.target] == []
