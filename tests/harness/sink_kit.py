"""A sink's session on the in-memory log and store: jobs and results to read, and a store that fails when asked to."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confluent_kafka import Message
from pydantic import SecretStr

from connectors.memory import MemoryDatabase
from connectors.sink_store import SinkStore
from schemas import headers
from schemas.avsc import result_schema
from schemas.contract import AnyContract
from schemas.ids import new_id
from schemas.plain import to_plain
from schemas.records import ECHO, EchoInput, EchoOutput, ErrorInfo, JobHeader, Result, ResultInfo, Timings
from schemas.registry import MemoryRegistry
from streams import wiring
from streams.admin import topics
from streams.client.submitter import Submitter
from streams.log import kafka
from streams.log.memory import MemoryLog
from streams.settings import Settings
from streams.sink.handoff import DeliveryHandoff, NoHandoff
from streams.sink.session import Session
from streams.sink.sink import open_session

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@contextmanager
def twin_settings(home: Path, *contracts: AnyContract, partitions: int = 2, waits: bool = False) -> Iterator[Settings]:
    """Yield the settings of an installation in memory with its topics. `waits`: a poll waits, as services on threads need."""
    name = uuid.uuid4().hex
    MemoryLog.name(name, MemoryLog(waits=waits))
    address = f"memory:{name}"
    settings = Settings(
        kafka_bootstrap_servers=address,
        schema_registry_url=address,
        database_url=SecretStr(address),
        home=home,
        partitions=partitions,
    )
    topics.apply(settings, contracts or [ECHO])
    try:
        yield settings
    finally:
        for twin in (MemoryLog, MemoryDatabase, MemoryRegistry):
            twin.forget(name)


def open_sink(
    settings: Settings,
    store: Any = None,
    handoff: DeliveryHandoff | None = None,
    stop: threading.Event | None = None,
    **more: Any,
) -> Session:
    return open_session(
        settings,
        store or wiring.sink_store(settings),
        kafka.producer(settings),
        handoff or NoHandoff(),
        stop or threading.Event(),
        **more,
    )


def step_until_read(session: Session) -> None:
    """Run enough steps to read everything. Raises what a step raises."""
    for _ in range(10):
        session.step()


def step_and_settle(session: Session) -> None:
    step_until_read(session)
    session.settle()


def submit_jobs(settings: Settings, count: int) -> list[str]:
    with Submitter(settings) as submitter:
        return [submitter.submit("echo", EchoInput(str(number))).job_id for number in range(count)]


def job(**changes: Any) -> JobHeader:
    fields: dict[str, Any] = {"job_id": new_id(), "processor": "echo", "created_at": NOW, "input_sha256": "a" * 64}
    return JobHeader(**fields | changes)


def result_bytes(settings: Settings, header: JobHeader, disposition: str = "succeeded", **changes: Any) -> bytes:
    encoder = wiring.codec(settings).encoder(f"{settings.topics.results('echo')}-value", result_schema(ECHO))
    succeeded = disposition == "succeeded"
    error = None if succeeded else ErrorInfo("PROCESSOR_ERROR", "it broke")
    info = ResultInfo(disposition, "worker-1", "cpu", Timings(NOW, NOW, NOW), error=error, **changes)
    return encoder.encode(to_plain(Result(header, info, EchoOutput("hello", 5) if succeeded else None)))


def write_results(settings: Settings, jobs: Sequence[JobHeader], *, partition: int = -1) -> list[bytes]:
    """Write a result of each job; return the values."""
    values = [result_bytes(settings, header) for header in jobs]
    for header, value in zip(jobs, values, strict=True):
        fields = headers.result_headers(header, "succeeded", 1, source="test")
        write(settings, settings.topics.results("echo"), value, fields, partition=partition)
    return values


def write(
    settings: Settings, topic: str, value: bytes | None, fields: Any = (), *, key: str = "key", partition: int = -1
) -> None:
    producer = kafka.producer(settings)
    producer.produce(topic, value, key.encode(), partition, headers=list(fields))
    assert producer.flush(10) == 0


def records(settings: Settings, topic: str) -> list[Message]:
    log = MemoryLog.at(settings.bootstrap)
    assert log is not None
    return log.records(topic)


def outcomes(settings: Settings) -> list[bytes]:
    return [message.value() or b"" for message in records(settings, settings.topics.outcomes("echo"))]


def states(settings: Settings) -> dict[str, int]:
    """Return the number of jobs by state."""
    with wiring.job_store(settings) as store:
        return {str(state): count for state, count in store.counts().items() if count}


class HookedStore:
    """A store that calls `before` and `after` with the name and the arguments of each call; they raise what shall fail."""

    def __init__(
        self,
        store: SinkStore,
        before: Callable[[str, tuple[Any, ...]], None] = lambda name, args: None,
        after: Callable[[str, tuple[Any, ...]], None] = lambda name, args: None,
    ) -> None:
        self._store = store
        self._before = before
        self._after = after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)

        def call(*args: Any) -> Any:
            self._before(name, args)
            answer = found(*args)
            self._after(name, args)
            return answer

        return call
