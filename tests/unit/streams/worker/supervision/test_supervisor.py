"""The supervisor and a real child: what it does to one that will not stop, dies, grows or can't start."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.errors import StartupError
from streams.worker.supervision import process, watch
from streams.worker.supervision.process import ChildProcess
from tests.harness.processors.killer import installed
from tests.harness.supervisor_driver import Driver, driving

MOODY = "tests.harness.processors.moody"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", "Moody", MOODY))
    monkeypatch.setenv("DATABASE_URL", "postgresql://sluice:secret@db/sluice")
    monkeypatch.setenv("SLUICE_CALLBACK_SECRETS", "whsec_c2VjcmV0")
    monkeypatch.setenv("PATIENT_ROOM", "12")
    with driving(tmp_path) as made:
        yield made


def test_a_cancelled_job_stops_and_its_mates_go_on(driver: Driver) -> None:
    obedient, mate, waiting, other = driver.send("obedient", "a", "b", "c")
    driver.until_running(obedient)
    driver.until(lambda: bool(driver.updates))
    driver.supervisor.cancel([obedient.slot])
    driver.until_answered(obedient, mate, waiting, other)
    assert driver.ending(obedient) == ("cancelled", "CANCELLED", 1)
    assert {driver.ending(job) for job in (mate, waiting, other)} == {("succeeded", None, 1)}
    assert driver.supervisor.restarts == 0
    words = {
        (update.stage, update.percent, update.message) for update in driver.updates if update.slot == obedient.slot
    }
    assert words == {("waiting", None, "for a cancel")}


def test_a_job_that_will_not_stop_loses_its_process_and_its_mates_run_again_unsuspected(driver: Driver) -> None:
    stubborn, first, second = driver.send("stubborn", "a", "b")
    driver.until_running(stubborn, first, second)
    (waiting,) = driver.send("waits")
    driver.supervisor.cancel([stubborn.slot, waiting.slot])
    driver.until_answered(waiting)
    assert stubborn.slot not in driver.collected.answers, "what waits is answered while the device works"
    driver.until_answered(stubborn, first, second)
    assert driver.ending(waiting) == ("cancelled", "CANCELLED", 1)
    assert driver.ending(stubborn) == ("cancelled", "CANCELLED", 1)
    assert [driver.ending(job) for job in (first, second)] == [("succeeded", None, 2)] * 2
    assert (first.crashes, first.flags) == (0, 0)


def test_a_job_past_its_hard_limit_is_killed_and_blamed_alone(driver: Driver) -> None:
    (mate,) = driver.send("obedient", hard_limit_ms=20_000)
    driver.until_running(mate)
    (slow,) = driver.send("stubborn", hard_limit_ms=200, max_attempts=1)
    driver.supervisor.cancel([mate.slot])
    driver.until_answered(mate, slow)
    assert driver.ending(slow) == ("failed", "TIMEOUT_ERROR", 1)
    assert (slow.crashes, driver.supervisor.restarts) == (0, 1)


def test_a_job_is_asked_to_stop_at_its_deadline_and_killed_if_it_goes_on(driver: Driver) -> None:
    soon = datetime.now(UTC) + timedelta(milliseconds=600)
    (obedient,) = driver.send("obedient", deadline=soon)
    driver.until_answered(obedient)
    assert driver.ending(obedient) == ("failed", "DEADLINE_EXCEEDED", 1)
    assert driver.supervisor.restarts == 0
    soon = datetime.now(UTC) + timedelta(milliseconds=600)
    (stubborn,) = driver.send("stubborn", deadline=soon)
    driver.until_running(stubborn)
    (waiting,) = driver.send("waits", deadline=soon)
    driver.until_answered(stubborn, waiting)
    assert driver.ending(stubborn) == ("failed", "DEADLINE_EXCEEDED", 1)
    assert driver.ending(waiting) == ("failed", "DEADLINE_EXCEEDED", 1)


def test_a_job_that_is_late_before_it_begins_kills_no_child(driver: Driver) -> None:
    (late,) = driver.send("a", deadline=datetime.now(UTC) - timedelta(seconds=10))
    mates = driver.send(*["nap 0.3"] * 3)  # longer than a job may run unnoticed, and than the grace
    driver.until_answered(late, *mates)
    assert driver.ending(late) == ("failed", "DEADLINE_EXCEEDED", 1)
    assert [driver.ending(job) for job in mates] == [("succeeded", None, 1)] * 3
    assert driver.supervisor.restarts == 0


def test_a_job_that_goes_on_past_its_deadline_costs_its_mates_one_execution(driver: Driver) -> None:
    first = driver.send("nap 0.3")  # while it runs the others come to wait, so that they share a batch
    driver.until_running(*first)
    (stubborn,) = driver.send("stubborn", deadline=datetime.now(UTC) + timedelta(milliseconds=700))
    mates = driver.send(*["nap 0.3"] * 3)
    driver.until_answered(*first, stubborn, *mates)
    assert driver.ending(stubborn) == ("failed", "DEADLINE_EXCEEDED", 1)
    assert [driver.ending(job) for job in mates] == [("succeeded", None, 2)] * 3
    assert driver.supervisor.restarts == 1


def test_of_several_suspects_only_the_killers_end_as_dead_letters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", "Nervous", MOODY))
    with driving(tmp_path) as driver:
        a, first, b, second, c, d = jobs = driver.send("a", "kill", "b", "kill", "c", "d")
        driver.until_answered(*jobs)
        assert [driver.ending(job)[:2] for job in (a, b, c, d)] == [("succeeded", None)] * 4
        assert [driver.ending(job) for job in (first, second)] == [("failed", "WORKER_LOST", 2)] * 2
        assert {driver.collected.answers[job.slot].dead_reason for job in (first, second)} == {"WORKER_LOST"}
        assert [job.crashes for job in jobs] == [1, 2, 1, 2, 0, 0]
        assert driver.supervisor.restarts == 3


def test_a_job_cancelled_before_the_child_had_it_is_answered_and_not_run(driver: Driver) -> None:
    before, waiting = driver.admit("kill", "kill")
    before.mark_cancelled()
    driver.in_flight.mark_waiting([waiting])
    driver.supervisor.cancel([waiting.slot])
    driver.in_flight.begin([waiting])
    driver.supervisor.send([before, waiting])
    driver.until_answered(before, waiting)
    assert [driver.ending(job) for job in (before, waiting)] == [("cancelled", "CANCELLED", 1)] * 2


def test_the_child_knows_no_credentials(driver: Driver) -> None:
    jobs = driver.send("knows DATABASE_URL", "knows SLUICE_CALLBACK_SECRETS", "knows PATIENT_ROOM")
    driver.until_answered(*jobs)
    assert [driver.said(job) for job in jobs] == ["nothing", "nothing", "12"]


@pytest.mark.parametrize("processor", ["Brief", "BriefWithThreads"])
def test_after_so_many_jobs_the_child_is_replaced_and_no_job_notices(
    processor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", processor, MOODY))
    with driving(tmp_path) as driver:
        jobs = driver.send(*["who"] * 15)
        driver.until(lambda: driver.supervisor.recycled == 1)
        jobs += driver.send(*["who"] * 5)
        driver.until_answered(*jobs)
        assert [driver.ending(job) for job in jobs] == [("succeeded", None, 1)] * 20
        assert len({driver.said(job) for job in jobs}) >= 2, "more than one process did the work"
        assert (driver.supervisor.restarts, driver.supervisor.recycled) == (0, 1)


@pytest.mark.parametrize("habit", ["thread", "cling"])
def test_a_child_that_would_not_leave_is_replaced_and_no_job_notices(
    habit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "EXIT_S", 0.2)
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", "Brief", MOODY))
    with driving(tmp_path) as driver:
        jobs = driver.send(habit, *["who"] * 14)
        driver.until(lambda: driver.supervisor.recycled == 1)
        jobs += driver.send(*["who"] * 5)
        driver.until_answered(*jobs)
        assert [driver.ending(job) for job in jobs] == [("succeeded", None, 1)] * 20
        assert (driver.supervisor.restarts, driver.supervisor.recycled) == (0, 1)
        assert {job.crashes for job in jobs} == {0}


@pytest.mark.parametrize("kind", ["program", "copy"])
def test_processes_that_a_processor_left_behind_do_not_stop_the_worker(kind: str, driver: Driver) -> None:
    """A daemon in a session of its own outlives its child, and may hold the child's pipe open."""
    (started,) = driver.send(f"daemon {kind}")
    driver.until_answered(started)
    daemon = int(driver.said(started))
    try:
        assert driver.supervisor.pid is not None
        os.kill(driver.supervisor.pid, signal.SIGKILL)
        driver.until(lambda: driver.supervisor.restarts == 1)
        (after,) = driver.send("a")
        driver.until_answered(after)
        assert driver.ending(after) == ("succeeded", None, 1)
    finally:
        os.kill(daemon, signal.SIGKILL)  # raises if it did not outlive the child


def test_a_child_that_grows_is_replaced_and_no_job_notices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", "Leaky", MOODY))
    with driving(tmp_path) as driver:
        driver.until_answered(*driver.send("who"))
        leak = driver.send("leak 300")
        driver.until(lambda: driver.supervisor.recycled == 1)
        jobs = leak + driver.send(*["a"] * 10)
        driver.until_answered(*jobs)
        assert {driver.ending(job) for job in jobs} == {("succeeded", None, 1)}
        assert 0 < driver.supervisor.resident < 300 << 20


def test_a_processor_that_hangs_while_it_loads_is_named_with_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", "Hanging", MOODY))
    with (
        pytest.raises(StartupError, match=r"'killer' was not ready within 0\.5 s") as caught,
        driving(tmp_path, load_timeout_s=0.5),
    ):
        pass
    assert "moody.py" in caught.value.message
    assert "in load" in caught.value.message
    assert "SLUICE_LOAD_TIMEOUT_S" in str(caught.value.next_step)


def test_a_processor_that_leaves_while_it_loads_is_named_with_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", "Leaving", MOODY))
    with pytest.raises(StartupError, match=r"'killer'.*SystemExit: 7") as caught, driving(tmp_path):
        pass
    assert "Traceback" in caught.value.message


def test_a_processor_that_can_not_be_imported_stops_the_start_with_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "tests.harness.processors.nothing_of_this_name"
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", "Killer", module))
    with (
        pytest.raises(StartupError, match=f"ModuleNotFoundError: No module named {module!r}") as caught,
        driving(tmp_path),
    ):
        pass
    assert "Traceback" in caught.value.message


def test_a_killed_child_that_does_not_go_is_left_behind(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Like one that waits in the kernel for a device."""
    (stubborn,) = driver.send("stubborn")
    driver.until_running(stubborn)
    child = driver.supervisor._child
    assert child is not None
    monkeypatch.setattr(process, "REAP_S", 0.05)
    monkeypatch.setattr(process, "READ_OUT_S", 0.05)
    with monkeypatch.context() as patched:
        patched.setattr(ChildProcess, "kill", lambda self: None)
        driver.supervisor.stop(0.0)
    assert driver.supervisor.pid is None
    child.kill()
    child.reap()
