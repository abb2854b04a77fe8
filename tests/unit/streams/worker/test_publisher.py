"""Records that Kafka does not take: later, smaller, or by name; and no job waits for another's."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message

from schemas.headers import JOB, MODE, TRACEPARENT
from schemas.states import Disposition
from schemas.topics import TopicNames
from streams.health.loop_threads import LoopThreads
from streams.worker import publisher as module
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob, JobOrigin
from streams.worker.protocol import Answer
from streams.worker.publisher import Publisher
from tests.harness.jobs import new_job

RESULTS, DEAD = "results.echo", "dead-letters"
TOO_LARGE = KafkaError.MSG_SIZE_TOO_LARGE


class Log:
    """Stands in for the producer. `errors`: how each topic's records are answered in turn, then without error."""

    def __init__(self, **errors: list[int]) -> None:
        self.errors = {RESULTS: errors.get("results", []), DEAD: errors.get("dead", [])}
        self.written: list[Message] = []
        self._reports: list[Any] = []

    def produce(self, topic: str, value: Any, key: Any, headers: Any, on_delivery: Any) -> None:
        self.written.append(Message(topic=topic, key=key, value=value, headers=list(headers)))
        error = KafkaError(self.errors[topic].pop(0)) if self.errors[topic] else None
        if error is not None and error.code() == TOO_LARGE:
            raise KafkaException(error)
        self._reports.append((on_delivery, error))

    def poll(self, timeout: float) -> int:
        reports, self._reports = self._reports, []
        for report, error in reports:
            report(error, None)
        return len(reports)

    def __len__(self) -> int:
        return len(self._reports)


class Publishing:
    def __init__(self, log: Log) -> None:
        self.log, self.in_flight, self.refused = log, InFlightJobs(), list[InFlightJob]()
        producer: Any = log
        self.publisher = Publisher(
            producer, self.in_flight, TopicNames(""), "echo", "w1", self.refuse, LoopThreads("worker", None)
        )

    def refuse(self, job: InFlightJob) -> None:
        self.in_flight.too_large(job)
        self.refused.append(job)

    def job(self, **fields: Any) -> InFlightJob:
        (job,) = self.in_flight.admit([new_job(JobOrigin("requests.echo", 3, 0), 7, **fields)])
        job.frame()
        return job

    def answer(self, job: InFlightJob, value: bytes = b"result", dead: str = "") -> None:
        self.publisher.publish(Answer(job.slot, 1, Disposition.FAILED, "job", 0, 1, value, "echo", dead, dead))

    def serve(self, times: int = 5) -> None:
        for _ in range(times):
            self.publisher.serve(0.0)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.0)


def test_a_topic_that_is_away_for_any_time_ends_nothing_and_is_named() -> None:
    away = Publishing(Log(results=[KafkaError.UNKNOWN_TOPIC_OR_PART] * 50))
    away.answer(away.job())
    away.serve(49)
    assert away.publisher.fault is not None
    assert RESULTS in away.publisher.fault
    away.serve()
    assert len(away.in_flight) == 0
    assert not away.publisher.fault


def test_a_producer_that_fails_does_not_end_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    publishing = Publishing(Log())
    publishing.answer(publishing.job())
    with monkeypatch.context() as failing:

        def fail(timeout: float) -> int:
            raise KafkaException(KafkaError(KafkaError._FATAL))

        failing.setattr(publishing.log, "poll", fail)
        publishing.serve(1)
        assert publishing.publisher.fault is not None
    publishing.serve()
    assert len(publishing.in_flight) == 0


def test_the_pauses_between_tries_grow_and_delay_no_other_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 1000.0)
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 1000.0)
    publishing = Publishing(Log(results=[KafkaError._MSG_TIMED_OUT]))
    waits = publishing.job()
    publishing.answer(waits)
    publishing.serve()
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    publishing.log.errors[RESULTS] = [KafkaError._MSG_TIMED_OUT]
    publishing.answer(publishing.job())
    publishing.serve()
    assert len(publishing.in_flight) == 1
    assert len(publishing.log.written) == 3


@pytest.mark.parametrize("code", [TOO_LARGE, KafkaError.INVALID_RECORD])
def test_a_result_that_is_refused_for_good_becomes_a_small_one(code: int) -> None:
    publishing = Publishing(Log(results=[code]))
    job = publishing.job()
    publishing.answer(job)
    publishing.serve()
    assert publishing.refused == [job]
    assert job.rejected
    publishing.answer(job, b"small")
    publishing.serve()
    assert len(publishing.in_flight) == 0


def test_a_job_whose_every_record_is_refused_does_not_hold_its_partition_up() -> None:
    publishing = Publishing(Log(results=[TOO_LARGE] * 9, dead=[TOO_LARGE] * 9))
    job = publishing.job()
    publishing.answer(job)
    publishing.answer(job, b"small", dead="UNDECODABLE")
    publishing.serve()
    assert len(publishing.in_flight) == 0
    assert publishing.refused == [job], "it is asked for once"


def test_a_dead_letter_that_is_too_large_keeps_its_headers_while_they_fit() -> None:
    publishing = Publishing(Log(dead=[TOO_LARGE]))
    publishing.answer(publishing.job(headers=[(JOB, b"job")], key=b"k"), b"", dead="UNDECODABLE")
    publishing.serve()
    whole, cut = publishing.log.written
    assert (whole.value(), cut.value(), cut.key()) == (b"x", None, b"k")
    assert (JOB, b"job") in (cut.headers() or [])
    assert len(publishing.in_flight) == 0


def test_a_dead_letter_whose_headers_are_too_large_keeps_ours() -> None:
    publishing = Publishing(Log(dead=[TOO_LARGE, TOO_LARGE]))
    publishing.answer(publishing.job(headers=[("big", b"b")], key=b"k"), b"", dead="UNDECODABLE")
    publishing.serve()
    last = publishing.log.written[-1]
    assert last.key() is None
    headers: Any = last.headers()
    assert "big" not in dict(headers)
    assert "sluice-dl-offset" in dict(headers)


def test_a_result_copies_no_huge_key_and_no_huge_trace_from_its_request() -> None:
    publishing = Publishing(Log())
    publishing.answer(publishing.job(key=b"k" * 5000, headers=[(TRACEPARENT, b"t" * 5000)]))
    (result,) = publishing.log.written
    assert result.key() == b"job"
    assert TRACEPARENT not in dict(result.headers() or [])


def test_a_result_copies_the_mode_of_its_request() -> None:
    """If it becomes a dead letter that can't be decoded, the sink still knows that it is of a shadow run."""
    publishing = Publishing(Log())
    publishing.answer(publishing.job(headers=[(JOB, b"a"), (MODE, b"shadow")]))
    publishing.answer(publishing.job(headers=[(JOB, b"b")]))
    assert [dict(record.headers() or ()).get(MODE) for record in publishing.log.written] == [b"shadow", None]


def test_a_dead_letter_that_is_delivered_does_not_count_for_the_result_that_is_made_again() -> None:
    publishing = Publishing(Log(results=[TOO_LARGE]))
    job = publishing.job()
    publishing.answer(job, dead="UNDECODABLE")  # the dead letter's report waits
    publishing.answer(job, b"small")
    publishing.in_flight.confirmed([job])
    assert len(publishing.in_flight) == 1
    publishing.in_flight.confirmed([job])
    assert len(publishing.in_flight) == 0


def test_a_dead_letter_that_is_delivered_before_the_result_is_made_again_ends_nothing() -> None:
    publishing = Publishing(Log(results=[TOO_LARGE]))
    job = publishing.job()
    publishing.answer(job, dead="UNDECODABLE")
    publishing.in_flight.confirmed([job])
    assert publishing.in_flight.get(job.slot) is job
    publishing.answer(job, b"small")
    publishing.in_flight.confirmed([job])
    assert len(publishing.in_flight) == 0


@pytest.mark.parametrize("code", [KafkaError._MSG_TIMED_OUT, TOO_LARGE])
def test_a_lost_record_that_no_job_waits_for_shows_in_the_log(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    publishing = Publishing(Log(results=[code]))
    publishing.publisher.write(RESULTS, b"job", b"progress")
    publishing.log.poll(0)
    assert "record_not_written" in capsys.readouterr().err
