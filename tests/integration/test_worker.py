"""The worker on a real log: what it publishes, what survives its death, and how it fails."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from schemas import headers
from schemas.avsc import request_schema
from schemas.contract import AnyContract
from schemas.errors import ExitCode
from schemas.ids import new_id
from schemas.plain import to_plain
from schemas.records import ECHO, EchoInput, JobHeader, Request
from streams import wiring
from streams.client.submitter import Submitter
from streams.log import kafka, topics
from streams.log.port import LogConsumer
from streams.settings import Settings
from tests.harness.services import Service, running
from tests.unit.streams.worker.killer import KILLER, installed

pytestmark = pytest.mark.stack

PATIENCE_S = 60.0
BATCH = 10


class Log:
    """What the worker writes, as it comes, and raw access to what it reads."""

    def __init__(self, settings: Settings, contract: AnyContract = ECHO) -> None:
        self.settings = settings
        self.codec = wiring.codec(settings)
        names, self._requests = settings.topics, settings.topics.requests(contract.name)
        self._topics = [names.results(contract.name), names.dead_letters, names.progress]
        self._consumer: LogConsumer = kafka.reader(settings)
        self._consumer.assign(
            [TopicPartition(topic, number, 0) for topic in self._topics for number in range(settings.partitions)]
        )
        self._producer = kafka.producer(settings)
        self._encoder = self.codec.encoder(f"{self._requests}-value", request_schema(contract))
        self.results: dict[str, list[dict[str, Any]]] = {}
        self.result_headers: dict[str, dict[str, bytes]] = {}
        self.dead: list[tuple[bytes, dict[str, bytes]]] = []
        self.progress: list[dict[str, Any]] = []

    def read_until(self, enough: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE_S
        while not enough():
            assert time.monotonic() < until, f"{len(self.results)} results, {len(self.dead)} dead letters"
            message = self._consumer.poll(0.2)
            if message is not None:
                assert message.error() is None, message.error()
                self._sort(message)

    def read_results_of(self, jobs: set[str]) -> None:
        self.read_until(lambda: jobs <= self.results.keys())

    def raw(self, value: bytes, given: dict[str, str] | None = None) -> None:
        told: Any = [(name, text.encode()) for name, text in (given or {}).items()]
        self._producer.produce(self._requests, value, headers=told)
        assert self._producer.flush(10) == 0

    def place(self, partition: int, value: bytes, job_id: str) -> None:
        told: Any = [(headers.JOB, job_id.encode())]
        self._producer.produce(self._requests, value, partition=partition, headers=told)
        assert self._producer.flush(10) == 0

    def request(self, header: JobHeader, input_: EchoInput) -> bytes:
        return self._encoder.encode(to_plain(Request(header, input_)))

    def close(self) -> None:
        self._consumer.close()

    def _sort(self, message: Any) -> None:
        told = dict(message.headers() or ())
        if message.topic() == self._topics[0]:
            plain = self.codec.decode(message.value())
            self.results.setdefault(plain["header"]["job_id"], []).append(plain)
            self.result_headers[plain["header"]["job_id"]] = told
        elif message.topic() == self._topics[1]:
            self.dead.append((message.value(), told))
        else:
            self.progress.append(self.codec.decode(message.value()))


@pytest.fixture
def log(settings: Settings) -> Iterator[Log]:
    made = Log(settings)
    yield made
    made.close()


@pytest.fixture
def submitter(settings: Settings) -> Iterator[Submitter]:
    with Submitter(settings) as made:
        yield made


@pytest.fixture
def worker(settings: Settings) -> Iterator[Service]:
    with running(settings.model_copy(update={"max_batch": BATCH}), ["worker", "echo"]) as (service,):
        yield service


def header(**changed: Any) -> JobHeader:
    return JobHeader(
        **{"job_id": new_id(), "processor": "echo", "created_at": datetime.now(UTC), "input_sha256": "", **changed}
    )


def outcome(log: Log, job_id: str) -> tuple[str, str | None]:
    """Disposition and error code of a job's only result."""
    (plain,) = log.results[job_id]
    error = plain["result"]["error"]
    return plain["result"]["disposition"], None if error is None else error["code"]


def executions(log: Log, job_id: str) -> list[int]:
    return [plain["result"]["execution"] for plain in log.results[job_id]]


def worker_ids(log: Log) -> set[str]:
    return {plain["result"]["worker_id"] for results in log.results.values() for plain in results}


def submit(submitter: Submitter, count: int, **input_: Any) -> set[str]:
    jobs = {submitter.submit_nowait("echo", EchoInput(f"job {n}", **input_)) for n in range(count)}
    submitter.flush()
    return jobs


def test_every_job_gets_its_result_and_says_where_it_comes_from(
    log: Log, submitter: Submitter, worker: Service, settings: Settings
) -> None:
    sent = submitter.submit("echo", EchoInput("hello"))
    log.read_results_of({sent.job_id})
    (plain,) = log.results[sent.job_id]
    assert plain["output"] == {"message": "hello", "length": 5}
    told = plain["result"]["request_coordinates"]
    assert (told["topic"], told["partition"], told["offset"]) == (sent.topic, sent.partition, sent.offset)
    assert told["topic_id"]
    timings = plain["result"]["timings"]
    assert timings["received_at"] <= timings["started_at"] <= timings["finished_at"]
    assert plain["result"]["input_sha256"] == plain["header"]["input_sha256"] != ""
    given = log.result_headers[sent.job_id]
    assert given[headers.JOB] == sent.job_id.encode()
    assert given[headers.DISPOSITION] == b"succeeded"


def test_the_bad_among_two_hundred_end_clearly_and_the_good_go_through(
    log: Log, submitter: Submitter, worker: Service
) -> None:
    named, contradicted, misspelt = header(), header(), header(processor="ehco")
    late = header(deadline=datetime.now(UTC) - timedelta(seconds=1))
    bare = header()
    good = submit(submitter, 100)
    log.raw(b"not avro at all")
    log.raw(b"\0\0\0\0\1garbage", {headers.JOB: named.job_id, headers.ATTEMPT: "2"})
    log.raw(struct.pack(">bI", 0, 2_000_000_000) + b"x")
    log.raw(log.request(contradicted, EchoInput("x")), {headers.JOB: new_id()})
    log.raw(log.request(misspelt, EchoInput("x")))
    log.raw(log.request(late, EchoInput("x")))
    log.raw(log.request(bare, EchoInput("no headers")))
    (invalid,) = submit(submitter, 1, delay_ms=-1)
    (again,) = submit(submitter, 1, fail="CONNECTION_ERROR")
    (bug,) = submit(submitter, 1, fail="NO_SUCH_CODE")
    good |= submit(submitter, 100)

    odd = {h.job_id for h in (named, contradicted, misspelt, late, bare)}
    log.read_results_of(good | odd | {invalid, again, bug})
    log.read_until(lambda: len(log.dead) == 4)

    assert {outcome(log, job) for job in good} == {("succeeded", None)}
    assert outcome(log, bare.job_id) == ("succeeded", None)
    assert outcome(log, named.job_id) == ("failed", "UNDECODABLE")
    assert log.results[named.job_id][0]["header"]["attempt"] == 2
    assert outcome(log, contradicted.job_id) == ("failed", "HEADER_MISMATCH")
    assert outcome(log, misspelt.job_id) == ("failed", "UNKNOWN_PROCESSOR")
    assert "'echo'" in log.results[misspelt.job_id][0]["result"]["error"]["message"]
    assert outcome(log, late.job_id) == ("failed", "DEADLINE_EXCEEDED")
    assert outcome(log, invalid) == ("failed", "INVALID_INPUT")
    assert outcome(log, again) == ("retry", "CONNECTION_ERROR")
    assert log.results[again][0]["result"]["retry_in_ms"] >= 0
    assert outcome(log, bug) == ("failed", "PROCESSOR_ERROR")
    reasons = {value: told[headers.DL_REASON] for value, told in log.dead}
    assert reasons[b"not avro at all"] == b"UNDECODABLE"
    assert reasons[b"\0\0\0\0\1garbage"] == b"UNDECODABLE"
    assert reasons[struct.pack(">bI", 0, 2_000_000_000) + b"x"] == b"UNKNOWN_SCHEMA"
    assert reasons[log.request(contradicted, EchoInput("x"))] == b"HEADER_MISMATCH"


def test_a_killed_child_loses_nothing_and_only_what_it_was_at_runs_again(
    log: Log, submitter: Submitter, worker: Service
) -> None:
    jobs = submit(submitter, 200, delay_ms=20)
    log.read_until(lambda: len(log.results) >= 20)
    (child,) = worker.children()
    os.kill(child, signal.SIGKILL)
    assert len(log.results) <= 150
    log.read_results_of(jobs)
    assert worker.stop() == 0
    again = [job for job in jobs if executions(log, job) != [1]]
    assert {outcome(log, job) for job in jobs} == {("succeeded", None)}
    assert 1 <= len(again) <= BATCH
    assert all(executions(log, job) == [2] for job in again)


def test_a_killed_parent_takes_its_child_with_it_and_loses_nothing(
    log: Log, submitter: Submitter, worker: Service
) -> None:
    jobs = submit(submitter, 200, delay_ms=20)
    log.read_until(lambda: len(log.results) >= 20)
    (child,) = worker.children()
    worker.kill()
    assert len(log.results) <= 150
    wait_until_gone(child)
    worker.start()
    log.read_results_of(jobs)
    assert {plain["result"]["disposition"] for job in jobs for plain in log.results[job]} == {"succeeded"}


def test_a_job_past_its_hard_limit_times_out_alone(log: Log, submitter: Submitter, worker: Service) -> None:
    slow = submitter.submit_nowait("echo", EchoInput("slow", delay_ms=60_000), hard_limit_ms=400, max_attempts=1)
    good = submit(submitter, 20)
    log.read_results_of(good | {slow})
    assert outcome(log, slow) == ("failed", "TIMEOUT_ERROR")
    assert {outcome(log, job) for job in good} == {("succeeded", None)}


def test_a_job_that_takes_long_shows_that_it_runs(log: Log, submitter: Submitter, worker: Service) -> None:
    quick = submit(submitter, 5)
    log.read_results_of(quick)
    slow = submitter.submit("echo", EchoInput("slow", delay_ms=1500)).job_id
    log.read_until(lambda: bool(log.progress))
    assert slow not in log.results
    log.read_results_of({slow})
    assert [(word["job_id"], word["stage"]) for word in log.progress] == [(slow, "started")]


def test_a_stopped_worker_finishes_what_it_holds_and_the_next_one_begins_after_it(
    log: Log, submitter: Submitter, worker: Service
) -> None:
    first = submit(submitter, 50, delay_ms=5)
    log.read_until(lambda: len(log.results) >= 1)
    assert worker.stop() == 0
    worker.start()
    second = submit(submitter, 50)
    log.read_results_of(first | second)
    assert all(executions(log, job) == [1] for job in first | second)


def test_a_job_that_kills_its_process_is_put_aside_and_takes_no_innocent_with_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(installed(tmp_path / "site")))
    topics.apply(settings, [KILLER])
    log = Log(settings, KILLER)
    killer, innocent = header(processor="killer"), [header(processor="killer") for _ in range(30)]
    with running(settings, ["worker", "killer"]):
        for number, job in enumerate(innocent):
            log.raw(log.request(job, EchoInput("work")))
            if number == 15:
                log.raw(log.request(killer, EchoInput("kill")))
        log.read_results_of({job.job_id for job in innocent} | {killer.job_id})
        log.read_until(lambda: bool(log.dead))
    log.close()
    assert {outcome(log, job.job_id) for job in innocent} == {("succeeded", None)}
    assert outcome(log, killer.job_id) == ("failed", "WORKER_LOST")
    assert executions(log, killer.job_id) == [2]
    ((value, told),) = log.dead
    assert value == log.request(killer, EchoInput("kill"))
    assert told[headers.DL_REASON] == b"WORKER_LOST"


@pytest.mark.parametrize(
    ("processor", "words"),
    [
        ("Broken", ["'killer'", "libmodel.so.3", "Traceback", "killer.py"]),
        ("Dying", ["'killer'", "died 3 times while starting"]),
        ("Missing", ["'killer'", "has no attribute 'Missing'"]),
    ],
)
def test_a_processor_that_can_not_start_stops_the_worker_by_name(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processor: str, words: list[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(installed(tmp_path / "site", processor)))
    topics.apply(settings, [KILLER])
    service = Service(settings, ["worker", "killer"])
    assert service.process.wait(60) == ExitCode.INTERNAL
    said = service.log.read_text()
    assert [word for word in words if word not in said] == []


def test_workers_that_come_and_go_share_the_work_and_lose_none_of_it(
    log: Log, submitter: Submitter, worker: Service, settings: Settings
) -> None:
    jobs = submit(submitter, 20)
    log.read_results_of(jobs)
    second = Service(settings.model_copy(update={"max_batch": BATCH}), ["worker", "echo", "--device", "cpu"])
    until = time.monotonic() + PATIENCE_S
    while len(worker_ids(log)) < 2:
        assert time.monotonic() < until, "the second worker was never given a live job"
        more = submit(submitter, 50, delay_ms=10)
        log.read_results_of(more)
        jobs |= more
    jobs |= submit(submitter, 400, delay_ms=20)
    assert worker.stop() == 0
    log.read_results_of(jobs)
    assert second.stop() == 0
    assert len(worker_ids(log)) == 2
    assert {plain["result"]["disposition"] for job in jobs for plain in log.results[job]} == {"succeeded"}


def test_a_worker_without_topics_says_what_to_do(settings: Settings) -> None:
    service = Service(settings.model_copy(update={"topic_prefix": "nobody-made-these."}), ["worker", "echo"])
    assert service.process.wait(60) != 0
    said = service.log.read_text()
    assert "nobody-made-these.requests.echo" in said
    assert "sluice topics apply" in said


def wait_until_gone(pid: int) -> None:
    """The kernel ends a child with its parent; a test can only look."""
    until = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < until, f"process {pid} outlives its parent"
        time.sleep(0.02)
