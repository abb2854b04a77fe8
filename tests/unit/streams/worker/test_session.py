"""The way of jobs through a session of the engine, on the memory log, with a child that the test plays."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.contract import contract
from schemas.records import EchoInput
from schemas.states import Disposition
from streams.admin import tail, topics
from streams.client.commands import CommandClient
from streams.client.submitter import Submitter
from streams.settings import Settings
from streams.worker.command_state import PauseState
from streams.worker.engine import Engine
from streams.worker.job import InFlightJob, JobOrigin
from streams.worker.kafka_transport import KafkaTransport
from streams.worker.protocol import ChildConfig
from tests.harness.engine_session import THREADS, RunningSession
from tests.harness.jobs import new_job
from tests.harness.waiting import wait_until


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    address = f"memory:{uuid.uuid4().hex}"
    made = Settings(home=tmp_path, kafka_bootstrap_servers=address, schema_registry_url=address, partitions=1)
    topics.apply(made, [contract("echo")])
    return made


@pytest.fixture
def running(settings: Settings) -> Iterator[RunningSession]:
    made = RunningSession(settings)
    yield made
    made.close()


def submit(settings: Settings, count: int = 1, **options: Any) -> list[str]:
    with Submitter(settings) as submitter:
        return [submitter.submit("echo", EchoInput(f"{n}"), **options).job_id for n in range(count)]


def test_an_engine_is_not_ready_while_its_process_starts(settings: Settings) -> None:
    config = ChildConfig("echo", "w1", "cpu", str(settings.home), {}, [], {})
    engine = Engine(settings, config, KafkaTransport(settings, THREADS), THREADS)
    assert engine.why_not_ready() == "the process of echo is starting"


def test_a_session_is_ready_once_it_has_partitions(running: RunningSession) -> None:
    assert running.session.why_not_ready() == "echo waits for its share of the partitions"
    submit(running.settings)
    running.until_sent(1)
    assert running.session.why_not_ready() is None


def test_a_job_goes_to_the_child_and_its_answer_to_the_log(running: RunningSession) -> None:
    submit(running.settings)
    (job,) = running.until_sent(1)
    running.answer(job)
    wait_until(lambda: len(running.in_flight) == 0, lambda: "the result was not delivered")
    running.turn()
    status = running.session.status()
    assert (status["received"], status["published"]) == (1, 1)
    assert status["commits"] >= 1
    assert len(tail.last(running.settings, running.settings.topics.results("echo"), 5)) == 1


def test_a_job_that_was_cancelled_before_it_came_is_sent_to_be_rejected(running: RunningSession) -> None:
    (job_id,) = submit(running.settings)
    running.commands.state.cancel(f"job:{job_id}:0".encode(), time.time())
    (job,) = running.until_sent(1)
    assert job.rejected
    assert running.child.cancelled == [job.slot], "so that it is answered while the device works"


def test_a_paused_processor_takes_no_jobs_and_the_pause_is_acknowledged(running: RunningSession) -> None:
    with CommandClient(running.settings, by="nurse") as client:
        client.pause("echo")
    wait_until(lambda: running.commands.state.is_paused("echo"), lambda: "the pause was not read")
    submit(running.settings)
    for _ in range(3):
        running.turn()
    assert running.child.sent == []
    running.commands.state.set_pause("echo", PauseState(False))
    assert running.until_sent(1)


def test_a_retry_is_reported_and_a_job_whose_time_has_not_come_is_not(running: RunningSession) -> None:
    """Progress makes a run PROCESSING: a postponed one would never be due again."""
    submit(running.settings, 2)
    retried, postponed = running.until_sent(2)
    running.answer(postponed, Disposition.RETRY, b"")
    running.answer(retried, Disposition.RETRY)
    wait_until(lambda: len(running.in_flight) == 0, lambda: "the answers were not delivered")
    (record,) = tail.last(running.settings, running.settings.topics.progress, 5)
    assert record.key == (retried.key or b"").decode()


def test_an_ordered_retry_waits_here_and_runs_again(settings: Settings) -> None:
    running = RunningSession(settings, order="key")
    submit(settings, 2, order_key="a")
    (first,) = running.until_sent(1)
    running.answer(first, Disposition.RETRY)
    again = running.until_sent(2)[1]
    assert (again, first.attempt) == (first, 2)
    running.answer(first)
    assert running.until_sent(3)[2].offset == first.offset + 1
    assert running.session.status()["waiting"] == 0
    running.close()


def test_a_drain_releases_what_waits_and_finishes_what_runs(running: RunningSession) -> None:
    submit(running.settings, 3)
    runs, *_ = running.until_sent(3)
    running.in_flight.started([runs.slot])
    finish = threading.Timer(0.1, running.answer, [runs])
    finish.start()
    assert running.session.drain(time.monotonic() + 10, lambda: running.session.tick(time.monotonic()))
    assert (running.session.status()["published"], len(running.in_flight)) == (1, 0)
    finish.join()


def test_a_drain_releases_a_job_that_crashed_elsewhere_and_has_not_begun_here(running: RunningSession) -> None:
    submit(running.settings)
    (job,) = running.until_sent(1)
    job.resume(2, 1)
    assert running.session.drain(time.monotonic() + 2.0, lambda: running.session.tick(time.monotonic()))
    assert len(running.in_flight) == 0


def test_a_job_that_begins_while_it_is_released_stays_here(
    running: RunningSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(running.settings, 2)
    first, second = running.until_sent(2)
    asked: list[int] = []

    def second_begins(slots: list[int]) -> None:
        asked.extend(slots)
        if slots:
            running.in_flight.started([second.slot])
            running.in_flight.release([first.slot])

    monkeypatch.setattr(running.child, "release", second_begins)
    running.session.drain(time.monotonic() + 0.1, lambda: running.session.tick(time.monotonic()))
    assert set(asked) == {first.slot, second.slot}
    assert running.in_flight.get(second.slot) is second


def test_a_paused_engine_goes_on_writing_what_the_pipe_did_not_take(
    running: RunningSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    pumped: list[float] = []
    monkeypatch.setattr(running.child, "backlog", True)
    monkeypatch.setattr(running.child, "pump", pumped.append)
    running.commands.state.set_pause("echo", PauseState(True))
    running.turn()
    assert pumped


def test_a_drain_ends_in_time_though_a_job_runs_on(running: RunningSession) -> None:
    submit(running.settings)
    (job,) = running.until_sent(1)
    running.in_flight.started([job.slot])
    assert not running.session.drain(time.monotonic(), lambda: None)


def test_a_drain_releases_jobs_that_come_while_the_source_is_paused(
    running: RunningSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs that were claimed just before the drain, and come with its first look at the source."""
    (late,) = running.in_flight.admit([new_job(JobOrigin("requests.echo", 0, 0))])
    handed_over, released = [[late]], list[InFlightJob]()
    (running_job,) = running.in_flight.admit([new_job(JobOrigin("requests.echo", 0, 0))])
    source = running.session._source
    release = source.release

    def note(jobs: list[InFlightJob]) -> None:
        released.extend(jobs)
        running.in_flight.release([job.slot for job in jobs])
        if late in released and running_job not in released:
            release([running_job])

    monkeypatch.setattr(source, "pause", lambda timeout_s: handed_over.pop() if handed_over else [])
    monkeypatch.setattr(source, "release", note)
    monkeypatch.setattr(running.child, "restarts", -1)  # only what the source hands over
    assert running.session.drain(time.monotonic() + 20, lambda: None)
    assert late in released


def test_a_source_that_fails_to_close_keeps_nothing_else_open(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = RunningSession(settings)
    source: Any = running.session._source
    publisher: Any = running.session._publisher

    def fail() -> None:
        raise RuntimeError

    monkeypatch.setattr(source._live.partitions, "close", fail)
    with pytest.raises(RuntimeError):
        running.close()
    assert not publisher._thread.is_alive()
    with pytest.raises(RuntimeError, match="closed"):
        source._bulk._consumer.poll(0)
    source._live._consumer.close()
    running.commands.stop()
