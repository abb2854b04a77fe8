"""A failing duty does not stop the others, and health shows it until it succeeds again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from connectors.memory import MemoryDatabase
from schemas.errors import Unreachable
from streams.settings import Settings
from streams.timekeeper import Timekeeper, timekeeper
from streams.timekeeper.timekeeper import STOP_S, _StoppableWait


class Failing:
    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def run_once(self) -> bool:
        if self.errors:
            raise self.errors.pop(0)
        return False


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Timekeeper]:
    settings = Settings(kafka_bootstrap_servers="memory:duties", database_url=SecretStr("memory:duties"), home=tmp_path)
    yield Timekeeper(settings)
    MemoryDatabase.forget("duties")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Unreachable("The registry did not answer."), "The registry did not answer."),
        (KeyError("a patient's value"), "KeyError"),
    ],
)
def test_a_failing_duty_shows_in_health_until_it_succeeds_again(
    keeper: Timekeeper, error: Exception, reason: str
) -> None:
    duty = Failing(error, error)
    assert keeper.run_once(duty) is False
    keeper.run_once(duty)
    health = keeper.health(ask=False)
    assert any("Failing failed 2 times" in one and reason in one for one in health.reasons)
    assert not any("patient" in one for one in health.reasons)
    assert health.details["failing"] == {"Failing": 2}
    keeper.run_once(duty)
    assert not any("Failing" in one for one in keeper.health(ask=False).reasons)


def test_a_stopped_timekeeper_waits_for_kafka_only_some_seconds_more(monkeypatch: pytest.MonkeyPatch) -> None:
    now, kept, stop = [100.0], list[int](), threading.Event()
    monkeypatch.setattr("streams.timekeeper.timekeeper.time", SimpleNamespace(monotonic=lambda: now[0]))
    wait = _StoppableWait(lambda: kept.append(1), stop)
    wait()
    now[0] += 1000
    wait()
    stop.set()
    wait()
    now[0] += STOP_S
    with pytest.raises(Unreachable, match="stopped"):
        wait()
    assert len(kept) == 3


def test_the_schedule_does_not_depend_on_the_wall_clock() -> None:
    """A clock step of the host must change neither what is due nor when it is looked for: the store says what is due."""
    for path in sorted(Path(timekeeper.__file__).parent.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert "time.time(" not in text, path.name
        assert text.count("datetime.now(") <= (path.name == "duty.py"), path.name
