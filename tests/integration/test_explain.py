"""Explanations of jobs on a real stack: one installation, in which worker, sink and custody by lease are disturbed in turn."""

from __future__ import annotations

import importlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from processors.rollout import percentile_of
from schemas import contract
from schemas.records import EchoInput
from streams import wiring
from streams.admin import topics
from streams.client.commands import CommandClient
from streams.client.submitter import Submitter
from streams.explain.collect import collect
from streams.explain.explain import Explanation, explain
from streams.settings import Settings
from streams.sink import Sink
from tests.harness.installation import installation
from tests.harness.processors import killer, leased
from tests.harness.services import Service
from tests.harness.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.stack

BROKEN = "tests.harness.processors.doubtful"


class Disturbed:
    """An installation whose worker starts with the first test that needs it."""

    def __init__(self, settings: Settings, gate: Path) -> None:
        self.settings = settings
        self.gate = gate
        self.submitter = Submitter(settings)
        self.worker: Service | None = None
        self._stop = threading.Event()
        self._sink = threading.Thread(target=Sink(settings, notify=False).run, args=(self._stop,))
        self._sink.start()

    def need_worker(self) -> Service:
        if self.worker is None:
            self.worker = Service(self.settings, ["worker", "killer", "leased", "--device", "cpu"])
        return self.worker

    def stop_sink(self) -> None:
        self._stop.set()
        self._sink.join(PATIENCE_S)

    def submit(self, message: str, processor: str = "killer", delay_ms: int = 0, **options: Any) -> str:
        return self.submitter.submit(processor, EchoInput(message, delay_ms), **options).job_id

    def explained(self, job: str) -> Explanation:
        return explain(collect(self.settings, job))

    def wait(self, job: str, *situations: str) -> Explanation:
        """Explain until it is one of these situations."""
        found: list[Explanation] = []

        def look() -> Explanation | None:
            found.append(self.explained(job))
            return found[-1] if found[-1].situation in situations else None

        return wait_until(look, lambda: f"{found[-1].situation}: {found[-1].headline}")

    def close(self) -> None:
        self.stop_sink()
        if self.worker is not None:
            self.worker.process.send_signal(signal.SIGCONT)
            self.worker.stop()


@pytest.fixture(scope="module")
def stage(stack: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disturbed]:
    folder = tmp_path_factory.mktemp("explain")
    with pytest.MonkeyPatch.context() as patch, installation(stack, folder / "home") as settings:
        sites = [folder / "killer", folder / "leased"]
        paths = [killer.installed(sites[0], "Doubtful", BROKEN, next="Canary"), leased.installed(sites[1])]
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        patch.setenv("SLUICE_TEST_GATE", str(folder / "gate"))
        for site in sites:
            patch.syspath_prepend(str(site))
        _forget_contracts()
        made = settings.model_copy(update={"rollout": "killer=1,2:50"})
        topics.apply(made, [killer.KILLER, leased.LEASED])
        disturbed = Disturbed(made, folder / "gate")
        yield disturbed
        disturbed.close()
    _forget_contracts()


def _forget_contracts() -> None:
    importlib.invalidate_caches()
    contract._entry_points.cache_clear()


def commands(found: Explanation) -> list[str]:
    return [each.command for each in found.steps if each.command]


def test_without_a_worker_the_job_names_the_command_that_starts_one(stage: Disturbed) -> None:
    job = stage.submit("work")
    found = stage.wait(job, "no_worker")
    assert found.headline == "No worker of killer runs."
    assert commands(found)[0] == "sluice worker killer"
    [request] = found.events
    assert request.where is not None
    assert request.where.topic == stage.settings.topics.requests("killer")
    stage.need_worker()
    assert stage.wait(job, "completed").unknown == []


def test_a_job_behind_one_that_runs_knows_its_place_by_the_metadata_of_the_groups_offset(stage: Disturbed) -> None:
    stage.need_worker()
    running, waiting = (stage.submit("wait", order_key="one") for _ in range(2))
    runs = stage.wait(running, "running")
    found = stage.wait(waiting, "ahead_in_queue")
    assert found.headline.startswith("1 job is ahead of it in ")
    assert "1 of them in flight" in found.headline
    stage.gate.write_text("go")
    assert f"-{stage.need_worker().pid}-" in runs.headline
    stage.wait(waiting, "completed")


def test_a_paused_processor_is_named_with_who_paused_it_and_which_workers_know(stage: Disturbed) -> None:
    stage.need_worker()
    with CommandClient(stage.settings, by="operator") as controls, wiring.command_store(stage.settings) as store:
        controls.pause("killer", "new weights come")
        wait_until(lambda: store.processors(["killer"])[0].acknowledgements, lambda: "no worker acknowledged")
        job = stage.submit("work")
        found = stage.wait(job, "paused")
        assert "by operator (new weights come); 1 worker acknowledged" in found.headline
        controls.resume("killer")
    stage.wait(job, "completed")


def test_a_canary_is_named_with_its_share(stage: Disturbed) -> None:
    stage.need_worker()
    jobs = [stage.submit("work") for _ in range(8)]
    canary = next(job for job in jobs if percentile_of(job) < 50)
    stage.wait(canary, "completed")
    [note] = [each.text for each in stage.explained(canary).reasons if each.code == "canary_version"]
    assert note == "It ran on version 2, which gets 50 % of the jobs; the default is 1."


def test_a_worker_that_is_silent_while_it_holds_the_lease_is_named(stage: Disturbed) -> None:
    worker = stage.need_worker()
    job = stage.submit(f"until {stage.gate}x", "leased", 60_000)
    stage.wait(job, "running")
    worker.process.send_signal(signal.SIGSTOP)
    found = stage.wait(job, "lease_silent")
    assert f"-{worker.pid}-" in found.headline
    assert "holds its lease and has been silent since" in found.headline
    worker.process.send_signal(signal.SIGCONT)
    Path(f"{stage.gate}x").touch()
    stage.wait(job, "completed")


def test_a_worker_that_doubts_itself_says_why_it_takes_no_jobs(stage: Disturbed) -> None:
    stage.need_worker()
    stage.gate.write_text("broken")
    for _ in range(5):
        job = stage.submit("work")  # the last one is withheld, and given back when the worker leaves its group
    found = stage.wait(job, "circuit_open")
    assert "takes no jobs of killer until it passes its test" in found.headline
    assert "failed alike" in found.headline
    stage.gate.write_text("mended")
    stage.wait(job, "completed")


def test_a_result_that_postgres_does_not_have_yet_is_found_in_the_log(stage: Disturbed) -> None:
    stage.need_worker()
    stage.stop_sink()
    job = stage.submit("work")
    found = stage.wait(job, "sink_behind")
    assert f"(succeeded, {stage.settings.topics.results('killer')}[" in found.headline
    assert [(each.kind, each.stored) for each in found.events] == [("request", False), ("result", False)]
    away = stage.settings.model_copy(update={"database_url": _nowhere()})
    alone = explain(collect(away, job))
    assert (alone.situation, len(alone.events)) == ("sink_behind", 2)
    assert "Postgres did not answer" in alone.unknown[0]


def _nowhere() -> Any:
    from pydantic import SecretStr

    return SecretStr("postgresql://127.0.0.1:1/nothing?connect_timeout=1")
