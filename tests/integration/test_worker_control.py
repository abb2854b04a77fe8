"""Commands on a real log: cancels and pauses reach a worker that runs, and one that starts later."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.records import EchoInput
from streams.client.commands import CommandClient
from streams.settings import Settings
from tests.harness.processors.performer import Small, installed
from tests.harness.services import running
from tests.harness.stage import Stage

pytestmark = pytest.mark.stack

WORKER = ("worker", "performer")


@pytest.fixture
def stage(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", Small))
    return Stage(settings)


def answers(stage: Stage) -> list[str]:
    """Return the workers' acknowledgements, ordered by their key."""
    return [word["action"] for word in stage.control if word["action"] in ("paused", "resumed")]


def test_a_paused_processor_begins_nothing_and_a_worker_that_starts_knows_what_was_said_before(
    stage: Stage, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.client.commands.known_processors", lambda: ["performer"])
    with CommandClient(settings, by="an operator") as controls:
        early = stage.ask(*[EchoInput(f"early {n}") for n in range(20)])
        controls.cancel_many([(job, 0) for job in early[:5]], "not needed")
        controls.pause("performer", "maintenance")
        with running(settings, WORKER):
            stage.read_until(lambda: answers(stage) == ["paused"])
            late = stage.ask(*[EchoInput(f"late {n}") for n in range(20)], lane="bulk")
            controls.cancel_many([(job, 0) for job in late[:5]])
            stage.read(0.5)
            assert stage.results == []
            controls.resume("performer")
            stage.read_until(lambda: answers(stage) == ["paused", "resumed"])
            stage.read_results_of({*early, *late})
            controls.pause("performer")
            stage.read_until(lambda: answers(stage) == ["paused", "resumed", "paused"])
            more = stage.ask(EchoInput("more"))
            controls.resume("performer")
            stage.read_results_of(set(more))
    dispositions = stage.dispositions()
    expected = (["cancelled"] * 5 + ["succeeded"] * 15) * 2
    assert [dispositions[job] for job in (*early, *late)] == expected
    (said,) = {(word["by"], word["processor"]) for word in stage.control if word["action"] == "paused"}
    assert said[0] in {plain["result"]["worker_id"] for plain in stage.results}
    stage.close()


def test_of_many_cancels_in_the_middle_of_the_work_each_job_ends_once(stage: Stage, settings: Settings) -> None:
    with running(settings, WORKER), CommandClient(settings) as controls:
        jobs = stage.ask(*[EchoInput(f"{n}", delay_ms=5) for n in range(1500)])
        stage.read_until(lambda: len(stage.results) >= 50)
        controls.cancel_many([(job, 0) for job in jobs])
        stage.read_results_of(set(jobs))
    dispositions = list(stage.dispositions().values())
    assert set(dispositions) == {"succeeded", "cancelled"}
    assert dispositions.count("cancelled") >= 100
    stage.close()
