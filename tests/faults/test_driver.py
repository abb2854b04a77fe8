"""The driver of the fault machine: what it began, it finishes before it stops."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from schemas.ids import new_id
from streams.admin import tail
from tests.faults.assignments import Assignment
from tests.faults.driver import Driver, Journal
from tests.harness.processors.chores import CHORE
from tests.harness.sink_kit import twin_settings
from tests.harness.waiting import wait_until


class SlowDoor:
    """Answers its only submission after the driver was asked to stop."""

    name = "slow"
    kinds: tuple[str, ...] = ("cancelled before",)
    twice = 0.0
    lasting = True

    def __init__(self) -> None:
        self.entered, self.answer = threading.Event(), threading.Event()

    def submit(self, jobs: Sequence[Assignment]) -> list[str | None]:
        self.entered.set()
        assert self.answer.wait(30)
        return [new_id() for _ in jobs]

    def close(self) -> None: ...


def test_a_job_whose_door_answers_after_the_stop_is_cancelled_all_the_same(tmp_path: Path) -> None:
    door, journal = SlowDoor(), Journal(tmp_path / "driver.jsonl")
    with twin_settings(tmp_path, CHORE) as settings:
        driver = Driver(7, settings, journal, lambda token: f"http://backend/{token}", [(lambda: door, 10.0)])
        driver.start()
        assert door.entered.wait(30)
        stopping = threading.Thread(target=driver.stop)
        stopping.start()
        wait_until(driver._stopping.is_set, lambda: "the driver was not asked to stop")
        # The canceller looks twice a second: within one it is gone, if it does not wait for the doors.
        next(one for one in threading.enumerate() if one.name == "canceller").join(1.0)
        door.answer.set()
        stopping.join(30)
        assert len(tail.last(settings, settings.topics.control, 5)) == 1
    journal.close()
