"""A lab worker: a whole worker with a child, which has no address but the gateway's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from schemas.records import EchoInput
from streams import wiring
from streams.admin import tail
from streams.client.submitter import Submitter
from streams.settings import Settings
from streams.sink import Sink
from streams.worker import worker as worker_module
from streams.worker.worker import Worker
from tests.harness.gateway_app import memory_settings
from tests.harness.lab import running_gateway
from tests.harness.waiting import in_thread, wait_until

PATIENCE_S = 90.0


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Settings]:
    """Yield the settings of an installation in memory whose sink runs."""
    settings = memory_settings(tmp_path / "installation", leased=("echo",))
    with in_thread(Sink(settings, notify=False).run):
        yield settings


@contextmanager
def lab_worker(home: Path, url: str) -> Iterator[Worker]:
    """Run a worker in a thread of this process: its settings have the gateway's address alone."""
    worker = Worker(Settings(home=home, worker_gateway=url), ["echo"])

    def run(stop: threading.Event) -> None:
        worker.run(stop)

    with in_thread(run):
        yield worker


def submit(settings: Settings, message: str, delay_ms: int = 0) -> str:
    with Submitter(settings) as submitter:
        return submitter.submit("echo", EchoInput(message, delay_ms)).job_id


def state(settings: Settings, job_id: str) -> str:
    with wiring.job_store(settings) as jobs:
        view = jobs.job(job_id)
    return "" if view is None else view.state


def lease_of(settings: Settings, job_id: str) -> str:
    """Return the state of a job's lease."""
    with closing(wiring.lease_store(settings)) as store:
        found = store.find(job_id, 0)
    return "" if found is None else found.state


def test_a_machine_that_reaches_only_the_gateway_runs_jobs_also_while_the_gateway_restarts(
    installation: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "_quiet_the_collector", lambda: None)
    with ExitStack() as parts:
        with running_gateway(installation) as url:
            worker = parts.enter_context(lab_worker(tmp_path / "lab", url))
            first = submit(installation, "hello")
            wait_until(lambda: state(installation, first) == "COMPLETED", lambda: str(worker.health()), PATIENCE_S)
            assert worker.health().ready
            second = submit(installation, "work", 1500)
            wait_until(lambda: lease_of(installation, second) == "held", lambda: lease_of(installation, second))
        wait_until(lambda: worker_waits(worker), lambda: str(worker.health()))  # it has a result, and no gateway
        assert not worker.health().ready
        with running_gateway(installation, gateway_address=url.removeprefix("http://")):
            wait_until(lambda: state(installation, second) == "COMPLETED", lambda: str(worker.health()), PATIENCE_S)
            wait_until(lambda: worker.health().ready, lambda: str(worker.health()))
            records = tail.last(installation, "results.echo", 10)
            assert [record.headers["sluice-job"] for record in records] == [first, second]
            parts.close()
    assert not list((tmp_path / "lab" / "work").iterdir())


def worker_waits(worker: Worker) -> bool:
    """True if the worker keeps a result that the gateway has not taken."""
    return bool(worker.status()["engines"][0]["published"] == 2)
