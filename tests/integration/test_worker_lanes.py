"""Live and bulk on a real log: ten thousand of the one never hold up the other, and a worker that stops gives them back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.records import EchoInput
from streams.settings import Settings
from tests.harness.performer_log import PerformerLog
from tests.harness.processors.performer import Small, installed
from tests.harness.services import Service, running
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack

WORKER = ("worker", "performer")


@pytest.fixture
def log(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PerformerLog]:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", Small))
    made = PerformerLog(settings)
    yield made
    made.close()


def finished_at(plain: dict[str, Any]) -> Any:
    return plain["result"]["timings"]["finished_at"]


def test_live_jobs_overtake_two_thousand_bulk_ones_which_go_on_meanwhile(log: PerformerLog, settings: Settings) -> None:
    bulk = set(log.ask(*[EchoInput(f"bulk {n}", delay_ms=10) for n in range(2000)], lane="bulk"))
    with running(settings, WORKER):
        log.read_until(lambda: len(log.results) >= 40)
        live = set(log.ask(*[EchoInput(f"live {n}", delay_ms=10) for n in range(300)]))
        log.read_results_of(live | bulk)
    assert set(log.dispositions().values()) == {"succeeded"}
    order = [plain["header"]["job_id"] for plain in sorted(log.results, key=finished_at)]
    began = min(plain["result"]["timings"]["received_at"] for plain in log.results if plain["header"]["job_id"] in live)
    before = sum(1 for plain in log.results if finished_at(plain) < began)
    last_live = max(order.index(job) for job in live)
    between = last_live + 1 - before - len(live)
    assert len(order) - 1 - last_live >= 1000, "half of the bulk jobs are still to come when the last live one is done"
    # Four to one by policy. Room for a batch that was running already, and for moments in which no live job had come yet.
    assert 300 / 4 / 2 <= between <= 300, f"{between} bulk jobs went through beside 300 live ones"


def test_a_worker_that_stops_releases_waiting_jobs_at_once(log: PerformerLog, settings: Settings) -> None:
    first = Service(settings, WORKER)
    with running(settings.model_copy(update={"home": settings.home.with_name("second")}), WORKER) as (second,):
        wait_until(lambda: owned(first) == owned(second) == [1, 1], lambda: f"{owned(first)}, {owned(second)}", 60)
        jobs = set(log.ask(*[EchoInput(f"{n}", delay_ms=100) for n in range(600)]))
        log.read_until(lambda: len(by(first, log)) >= 20)
        assert first.stop() == 0
        stopped, before = time.monotonic(), len(by(first, log))
        wait_until(lambda: owned(second) == [2, 2], lambda: str(owned(second)), 60)
        assert time.monotonic() - stopped < 9, "the group waited for the session of a worker that had said goodbye"
        log.read_results_of(jobs)
    # It had two hundred in hand, batches of twenty: it finished the one that ran.
    assert len(by(first, log)) - before <= 80
    assert set(log.dispositions().values()) == {"succeeded"}
    assert {plain["result"]["execution"] for plain in log.results} == {1}


def test_a_job_that_outlasts_the_drain_is_left_to_the_next_worker(log: PerformerLog, settings: Settings) -> None:
    short = settings.model_copy(update={"drain_s": 0.5})
    (job,) = log.ask(EchoInput("long", delay_ms=3000))
    worker = Service(short, WORKER)
    log.read_until(lambda: bool(log.progress))
    began = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - began < 10
    log.read(0)
    assert log.results == []
    with running(short, WORKER):
        log.read_results_of({job})


def by(service: Service, log: PerformerLog) -> list[dict[str, Any]]:
    """The results that this worker published."""
    return [plain for plain in log.results if f"-{service.pid}-" in plain["result"]["worker_id"]]


def owned(service: Service) -> list[int]:
    """How many live and bulk partitions a worker owns, by its own log."""
    found = [0, 0]
    for line in service.log.read_text().splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        if "owned" in event:
            found[".bulk-" in event["partitions"]] = event["owned"]
    return found
