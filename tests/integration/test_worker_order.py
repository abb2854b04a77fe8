"""Ordered processors on a real log: one job of a key at a time, whatever it takes, and the other keys do not wait for it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from schemas.records import EchoInput
from streams.client.commands import CommandClient
from streams.health.ask import ask_all
from streams.settings import Settings
from tests.harness.performer_log import PerformerLog
from tests.harness.processors.performer import ByKey, installed
from tests.harness.services import running
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack

WORKER = ("worker", "performer")
KEYS = "abcde"


def waiting(settings: Settings) -> int:
    """Jobs that wait in the worker for their turn, as it tells itself."""
    statuses = [answer.status or {} for answer in ask_all(settings.home)]
    return sum(engine["waiting"] for status in statuses for engine in status.get("engines", ()))


def test_jobs_of_a_key_end_in_order_through_delays_and_retries(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", ByKey))
    log, luck, asked = PerformerLog(settings), random.Random(7), {}
    with running(settings, WORKER):
        for number in range(100):
            key = KEYS[number % 5]
            fails = "yes" if luck.random() < 0.3 else None
            given = EchoInput(f"{key}{number:02d}", delay_ms=luck.randrange(20), fail=fails)
            (job,) = log.ask(given, key=key)
            asked[job] = (key, number, fails)
        log.read_results_of(set(asked))
    assert set(log.dispositions().values()) == {"succeeded"}, "a retry of an ordered job is not published"
    ended = [asked[plain["header"]["job_id"]] for plain in log.results]
    for key in KEYS:
        numbers = [number for k, number, _ in ended if k == key]
        assert numbers == sorted(numbers), f"the jobs of {key} ended in another order"
    for plain in log.results:
        job, again = plain["header"]["job_id"], plain["header"]["attempt"]
        assert again == (2 if asked[job][2] else 1)
        assert plain["output"]["message"].endswith(f"attempt {again}")
    log.read_until(lambda: any(word["stage"] == "retrying" for word in log.progress))
    log.close()


def test_a_key_that_waits_holds_up_no_other_and_waiting_jobs_can_be_cancelled_at_once(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", ByKey))
    log = PerformerLog(settings)
    with running(settings, WORKER), CommandClient(settings) as controls:
        (slow,) = log.ask(EchoInput("slow", delay_ms=8000), key="a")
        log.read_until(lambda: any(word["job_id"] == slow for word in log.progress))
        behind = log.ask(*[EchoInput(f"behind {n}") for n in range(6)], key="a")
        wait_until(lambda: waiting(settings) == 6, lambda: f"{waiting(settings)} wait, not 6")
        controls.cancel_many([(job, 0) for job in behind[::2]])
        log.read_results_of(set(behind[::2]))
        # Command or request, whichever the worker reads first.
        rushed = log.ask(*[EchoInput(f"rushed {n}") for n in range(4)], key="a")
        controls.cancel_many([(job, 0) for job in rushed])
        log.read_results_of(set(rushed))
        assert slow not in log.ended(), "what was cancelled did not wait for its turn"
        others = log.ask(*[EchoInput(f"other {n}") for n in range(20)])
        log.read_results_of({slow, *behind, *others})
    dispositions = log.dispositions()
    assert [dispositions[job] for job in behind] == ["cancelled", "succeeded"] * 3
    assert {dispositions[job] for job in rushed} == {"cancelled"}
    order = [plain["header"]["job_id"] for plain in log.results if plain["header"]["job_id"] in {slow, *behind[1::2]}]
    assert order == [slow, *behind[1::2]]
    log.close()
