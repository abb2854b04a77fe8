"""Commands on a real log: cancels and pauses reach a worker that runs, and one that starts later."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.records import EchoInput
from streams.client.commands import CommandClient
from streams.settings import Settings
from tests.harness.performer_log import PerformerLog
from tests.harness.processors.performer import Small, installed
from tests.harness.services import running

pytestmark = pytest.mark.stack

WORKER = ("worker", "performer")


@pytest.fixture
def log(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PerformerLog:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", Small))
    return PerformerLog(settings)


def answers(log: PerformerLog) -> list[str]:
    """Return the workers' acknowledgements, ordered by their key."""
    return [word["action"] for word in log.control if word["action"] in ("paused", "resumed")]


def test_a_paused_processor_begins_nothing_and_a_worker_that_starts_knows_what_was_said_before(
    log: PerformerLog, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.client.commands.known_processors", lambda: ["performer"])
    with CommandClient(settings, by="an operator") as controls:
        early = log.ask(*[EchoInput(f"early {n}") for n in range(20)])
        controls.cancel_many([(job, 0) for job in early[:5]], "not needed")
        controls.pause("performer", "maintenance")
        with running(settings, WORKER):
            log.read_until(lambda: answers(log) == ["paused"])
            late = log.ask(*[EchoInput(f"late {n}") for n in range(20)], lane="bulk")
            controls.cancel_many([(job, 0) for job in late[:5]])
            log.read(0.5)
            assert log.results == []
            controls.resume("performer")
            log.read_until(lambda: answers(log) == ["paused", "resumed"])
            log.read_results_of({*early, *late})
            controls.pause("performer")
            log.read_until(lambda: answers(log) == ["paused", "resumed", "paused"])
            more = log.ask(EchoInput("more"))
            controls.resume("performer")
            log.read_results_of(set(more))
    dispositions = log.dispositions()
    expected = (["cancelled"] * 5 + ["succeeded"] * 15) * 2
    assert [dispositions[job] for job in (*early, *late)] == expected
    (said,) = {(word["by"], word["processor"]) for word in log.control if word["action"] == "paused"}
    assert said[0] in {plain["result"]["worker_id"] for plain in log.results}
    log.close()


def test_of_many_cancels_in_the_middle_of_the_work_each_job_ends_once(log: PerformerLog, settings: Settings) -> None:
    with running(settings, WORKER), CommandClient(settings) as controls:
        jobs = log.ask(*[EchoInput(f"{n}", delay_ms=5) for n in range(1500)])
        log.read_until(lambda: len(log.results) >= 50)
        controls.cancel_many([(job, 0) for job in jobs])
        log.read_results_of(set(jobs))
    dispositions = list(log.dispositions().values())
    assert set(dispositions) == {"succeeded", "cancelled"}
    assert dispositions.count("cancelled") >= 100
    log.close()
