"""A whole flow in one process and one thread, from the submit to the callback, in milliseconds.

Nothing happens by itself: `settle` lets every part do its work, `advance` lets time pass. So a test never waits, and does
the same thing each time.
"""

from __future__ import annotations

import tempfile
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Self, Unpack
from uuid import UUID

from confluent_kafka import Message
from pydantic import SecretStr

from connectors.memory import Clock, MemoryDatabase
from connectors.views import JobView
from schemas import headers
from schemas.commands import PAUSE
from schemas.contract import AnyContract, contract, installed
from schemas.envelope import result_of
from schemas.errors import NotFound, SluiceError, UsageError
from schemas.records import Claim, Result
from schemas.registry import MemoryRegistry
from schemas.states import Custody, Lane
from schemas.topics import declared
from streams import wiring
from streams.client.commands import CommandClient
from streams.client.job_options import JobOptions
from streams.client.submitter import Submitter
from streams.log.memory import MemoryLog
from streams.settings import Settings
from streams.sink.topic_table import print_topic_id
from streams.testing.backend import Backend, Callback, deliver_due
from streams.testing.services import Services
from streams.testing.worker import Died, InProcessWorker, load_by_name

#: Rounds after which `settle` raises, because the flow never comes to rest.
ROUNDS = 1000
MOMENTS = ("taken", "run", "published")


class Stage(NamedTuple):
    """A progress report of a job (`ctx.progress`)."""

    stage: str
    percent: float | None
    message: str


class Flow:
    """`processors`: names of installed processors, or classes or instances; several of one name are its versions, the first is
    the default. The contract of a class that is not installed is given by `contract`, those of several by `contracts`.
    `options`: values of the processors' options; None for those of the environment. A context manager, for one thread."""

    def __init__(
        self,
        *processors: Any,
        contract: AnyContract | None = None,
        contracts: tuple[AnyContract, ...] = (),
        partitions: int = 2,
        device: str = "cpu",
        options: Mapping[str, str] | None = None,
    ) -> None:
        if not processors:
            raise UsageError("A flow needs a processor.", next_step='Name one: Flow("echo").')
        self._processors = processors
        self._contracts = contracts if contract is None else (*contracts, contract)
        self._partitions = partitions
        self._device = device
        self._options = options
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    # ── what a backend does ──

    def submit(self, processor: str, input_: Any, **options: Unpack[JobOptions]) -> str:
        """Submit a job and return its id. It does not run before `settle`.

        Raises UnknownProcessor, InvalidInput, PayloadTooLarge.
        """
        return self._submitter.submit(processor, input_, **options).job_id

    def upload(self, path: Path, content_type: str = "application/octet-stream") -> Claim:
        """Store a file and return its claim, for a job's input."""
        return wiring.object_store(self.settings).put_file(path, content_type)

    def cancel(self, job_id: str, reason: str = "", run: int = 0) -> None:
        """Cancel a job."""
        with CommandClient(self.settings, by="test") as commands:
            commands.cancel(job_id, run, reason)

    def pause(self, processor: str) -> None:
        """Start no more jobs of a processor, until `resume`."""
        with CommandClient(self.settings, by="test") as commands:
            commands.pause(processor)

    def resume(self, processor: str) -> None:
        with CommandClient(self.settings, by="test") as commands:
            commands.resume(processor)

    def answer_callbacks(self, answer: int | Callable[[str, dict[str, Any]], int]) -> None:
        """Set the status with which the backend answers: a number, or a function that returns it for a URL and an event."""
        self._backend.answer = answer

    # ── what happens ──

    def settle(self, *, worker: bool = True) -> None:
        """Work until nothing is left to do now. With `worker=False` no jobs run. Work that is due later waits for `advance`."""
        for _ in range(ROUNDS):
            before = self._mark()
            self._services.settle(self._mark)
            if worker:
                for one in self._workers.values():
                    self._work(one)
            deliver_due(self.settings, self.database, self._backend)
            if self._mark() == before:
                return
        raise SluiceError(f"The flow has not come to rest in {ROUNDS} rounds: something asks for more each time.")

    def advance(self, seconds: float) -> None:
        """Let time pass, so that retries, deadlines, `not_before` and callbacks become due. Call `settle` afterwards."""
        self.clock.advance(seconds)

    @property
    def now(self) -> datetime:
        """The flow's time, for a deadline or a `not_before`."""
        return self.clock.now()

    def kill_worker(self, when: str = "published", processor: str | None = None) -> None:
        """Let the worker die once, at its next batch: when the jobs are "taken", when they are "run" and nothing is published
        yet, or when the results are "published" and nothing is committed. Another takes over from the last commit."""
        if when not in MOMENTS:
            raise UsageError(f"A worker does not die at {when!r}.", next_step=f"The moments are: {', '.join(MOMENTS)}.")
        for name, one in self._workers.items():
            if processor in (None, name):
                one.dies_at = when

    def redeliver(self, job_id: str, what: str = "result") -> None:
        """Write a job's last "result", or its last "request", to the log once more, byte for byte."""
        names = self.settings.topics
        topics = {
            "result": [names.results(name) for name in self._workers],
            "request": [names.requests(name, lane) for name in self._workers for lane in Lane],
        }
        if what not in topics:
            raise UsageError(f"There is no {what!r} to write again.", next_step="It is a result or a request.")
        found = [message for topic in topics[what] for message in self.records(topic) if _is_of(message, job_id)]
        if not found:
            raise NotFound(f"Job {job_id} has no {what} yet.")
        producer, last = self.log.producer(), found[-1]
        producer.produce(str(last.topic()), last.value(), last.key(), headers=last.headers())
        producer.flush()

    # ── what came of it ──

    def job(self, job_id: str, run: int | None = None) -> JobView:
        """Return a job as `sluice job` shows it. Raises NotFound until the sink has stored it, which `settle` does."""
        with wiring.job_store(self.settings) as store:
            view = store.job(job_id, run)
        if view is None:
            raise NotFound(f"There is no job {job_id} yet.", next_step="`flow.settle()` lets the sink read it.")
        return view

    def outcomes(self, processor: str) -> list[Result[Any]]:
        """Return the records of `outcomes.<processor>`, typed."""
        found = self.records(self.settings.topics.outcomes(processor))
        made = contract(processor)
        return [result_of(made, self._codec.decode(message.value() or b"")) for message in found]

    @property
    def callbacks(self) -> list[Callback]:
        """Every callback that the backend received, each try by itself."""
        return list(self._backend.callbacks)

    def progress(self, job_id: str) -> list[Stage]:
        """Return the progress reports of a job."""
        return list(self._stages[job_id])

    def text(self, job_id: str) -> str:
        """Return the text that a job's last attempt has streamed (`ctx.stream_text`)."""
        return self._texts[job_id]

    def records(self, topic: str) -> list[Message]:
        """Return the records of a topic, partition by partition."""
        return self.log.records(topic)

    def dead_letters(self) -> list[Mapping[str, str]]:
        """Return the headers of each dead letter: its origin and the reason."""
        letters = self.records(self.settings.topics.dead_letters)
        headers_of: list[dict[str, Any]] = [dict(message.headers() or ()) for message in letters]
        return [{name: _text(value) for name, value in fields.items()} for fields in headers_of]

    # ── inside ──

    def _start(self, stack: ExitStack) -> None:
        name = f"flow-{uuid.uuid4().hex}"
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-flow-"))
        stack.enter_context(installed(*self._contracts))
        self.clock = Clock()
        self.database = MemoryDatabase(self.clock)
        self.log = MemoryLog(waits=False, now_ms=lambda: int(self.clock.now().timestamp() * 1000))
        MemoryDatabase.name(name, self.database)
        MemoryLog.name(name, self.log)
        for twin in (MemoryDatabase, MemoryLog, MemoryRegistry):
            stack.callback(twin.forget, name)
        address = f"memory:{name}"
        self.settings = Settings(
            kafka_bootstrap_servers=address,
            schema_registry_url=address,
            database_url=SecretStr(address),
            home=Path(home),
            objects_url=(Path(home) / "objects").as_uri(),
            topic_prefix="",
            partitions=self._partitions,
        )
        self._backend = Backend()
        self._stages, self._texts = defaultdict[str, list[Stage]](list), defaultdict[str, str](str)
        loaded = load_by_name(self._processors, self.settings, self._device, self._options)
        contracts = [contract(name) for name in loaded]
        topic_ids = self._make_topics(contracts)
        self._codec = wiring.codec(self.settings)
        self._submitter = stack.enter_context(Submitter(self.settings, source="test"))
        self._workers: dict[str, InProcessWorker] = {}
        for made, versions in zip(contracts, loaded.values(), strict=True):
            if self.settings.custody(made) is Custody.LEASE:
                raise UsageError(f"Jobs of {made.name!r} are claimed by lease; a flow has no worker for that.")
            worker = InProcessWorker(
                self.settings,
                made.name,
                versions,
                topic_ids=topic_ids,
                now=self.clock.now,
                is_cancelled=self._is_cancelled,
                on_progress=self._on_progress,
                on_text=self._on_text,
            )
            self._workers[made.name] = worker
            stack.callback(worker.close)
        self._services = Services(self.settings, threading.Event())
        stack.callback(self._services.close)

    def _make_topics(self, contracts: list[AnyContract]) -> dict[str, str]:
        """Make the topics, like `sluice topics apply`. Returns their ids by name."""
        registry, ids = wiring.registry(self.settings), {}
        for topic in declared(contracts, self.settings.topics, self._partitions):
            made = self.log.create_topic(topic.name, topic.partitions, topic.config())
            ids[topic.name] = print_topic_id(made.topic_id.bytes)
            if topic.schema is not None:
                registry.register(topic.subject, topic.schema)
        return ids

    def _work(self, worker: InProcessWorker) -> None:
        if (order := self.database.commands.get(worker.name)) is not None and order.action == PAUSE:
            return
        try:
            while worker.step():
                pass
        except Died:
            worker.start_over()

    def _is_cancelled(self, job_id: str, run: int) -> bool:
        return (UUID(job_id).bytes, run) in self.database.cancels

    def _on_progress(self, job_id: str, stage: str, percent: float | None, message: str) -> None:
        self._stages[job_id].append(Stage(stage, percent, message))

    def _on_text(self, job_id: str, text: str, begins: bool) -> None:
        self._texts[job_id] = text if begins else self._texts[job_id] + text

    def _mark(self) -> tuple[int, int]:
        """Return a value that changes with everything that happens."""
        return self.log.appended, self.database.changes


def _is_of(message: Message, job_id: str) -> bool:
    return dict(message.headers() or ()).get(headers.JOB) == job_id.encode()


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
