"""An executor with real parts in one process: the codec, the in-memory registry and object store, and a recording channel."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from connectors.objects import ObjectStore
from processors.policy import Batch, Policy
from processors.protocol import AnyProcessor, Job, JobContext, LoadContext
from processors.rollout import Rollout
from schemas.avsc import request_schema, result_schema
from schemas.codec import Codec
from schemas.envelope import input_hash
from schemas.errors import Unreachable
from schemas.headers import JOB
from schemas.ids import new_id
from schemas.plain import to_plain
from schemas.records import ECHO, EchoInput, EchoOutput, JobHeader, Request
from schemas.registry import MemoryRegistry
from schemas.splice import HeaderSplice
from streams.worker import protocol
from streams.worker.child.decode import RequestDecoder
from streams.worker.child.job_runner import JobRunner
from streams.worker.child.main import choose_executor
from streams.worker.child.memo import Memo
from streams.worker.child.results import ResultWriter
from streams.worker.child.retry import RetryDecider
from streams.worker.child.versions import Model, ModelVersions
from streams.worker.protocol import Answer, JobFrame, MessageKind

REQUESTS = "requests.echo-value"
NO_HEADERS: Mapping[str, bytes] = {}


class Upper:
    """A processor with every kind of fault on request."""

    name, version, request, result, model_sha256 = "echo", "7", EchoInput, EchoOutput, ""

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy or Policy(batch=Batch(4))
        self.batches: list[list[str]] = []

    @property
    def ran(self) -> list[str]:
        """Everything that was run, in order."""
        return [item for batch in self.batches for item in batch]

    def load(self, ctx: LoadContext) -> None:
        """Nothing to load."""

    def prepare(self, job: Job[EchoInput], ctx: JobContext) -> str:
        if job.input.message == "bad in prepare":
            raise KeyError("prepare")
        return job.input.message

    def run(self, items: Sequence[str]) -> Sequence[str]:
        self.batches.append(list(items))
        if "bad in run" in items:
            raise ValueError("run")
        return [item.upper() for item in items]

    def finish(self, job: Job[EchoInput], raw: str, ctx: JobContext) -> EchoOutput:
        if raw == "BAD IN FINISH":
            raise RuntimeError("finish")
        if raw == "HUGE":
            return EchoOutput("x" * 1_100_000, 1_100_000)
        if raw == "SAVE":
            path = ctx.scratch() / "out.txt"
            path.write_text(raw)
            ctx.save(path, "text/plain")
        return EchoOutput(raw, len(raw))


class Switchable(MemoryRegistry):
    """The in-memory registry, which does not answer while `away` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.away = threading.Event()

    def schema_by_id(self, schema_id: int) -> str:
        if self.away.is_set():
            raise Unreachable("The registry is away.")
        return super().schema_by_id(schema_id)


class RecordingChannel:
    """Records the messages of an executor, and waits for a number of answers."""

    def __init__(self) -> None:
        self.begun: list[tuple[list[int], int | None]] = []
        self.answered: dict[int, Answer] = {}
        self.waiting: set[int] = set()  # prepared, and reported as such
        self.discarded_slots: list[int] = []
        self.batch_limits: list[tuple[str, int, float | None]] = []
        self.lost: list[tuple[list[int], str]] = []
        self.texts: dict[int, str] = {}
        self._changed = threading.Condition()

    def started(self, slots: list[int], hard_ms: int | None) -> None:
        self.begun.append((slots, hard_ms))

    def prepared(self, slots: list[int]) -> None:
        self.waiting.update(slots)

    def discarded(self, slots: list[int]) -> None:
        self.discarded_slots += slots

    def answers(self, answers: list[Answer]) -> None:
        with self._changed:
            for answer in answers:
                assert answer.slot not in self.answered, "an execution has one answer"
                self.answered[answer.slot] = answer
            self._changed.notify_all()

    def batch_limit(self, bucket: str, max_size: int, max_cost: float | None) -> None:
        self.batch_limits.append((bucket, max_size, max_cost))

    def device_lost(self, slots: list[int], reason: str) -> None:
        self.lost.append((slots, reason))

    def progress(self, slot: int, stage: str, percent: float | None, message: str) -> None:
        """Not looked at."""

    def text(self, slot: int, text: str, *, restart: bool = False) -> None:
        self.texts[slot] = "" if restart else self.texts.get(slot, "") + text

    def wait_for(self, count: int, timeout: float = 20) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: len(self.answered) >= count, timeout)


@dataclass
class Kit:
    """Send frames, then `work`, then look at the answers."""

    processor: Upper
    scratch: Path
    others: Sequence[Upper] = ()
    rollout: Rollout | None = None
    files: ObjectStore = field(default_factory=lambda: ObjectStore("memory://"))

    def __post_init__(self) -> None:
        self.registry = Switchable()
        self.codec = Codec(self.registry)
        self.requests = self.codec.encoder(REQUESTS, request_schema(ECHO), register=True)
        results = self.codec.encoder("results.echo-value", result_schema(ECHO), register=True)
        splice = HeaderSplice(self.requests, request_schema(ECHO), results, result_schema(ECHO))
        topics = (("requests.echo", "tid"), ("requests.echo.bulk", "tid2"))

        def model(processor: AnyProcessor) -> Model:
            retries, sha256 = RetryDecider(processor.policy, jitter=lambda: 0.5), processor.model_sha256 or None
            facts = ("w1", "cpu", None, processor.version, sha256, "0.0", topics)
            writer = ResultWriter(results, splice, retries, *facts)
            memo = Memo(self.codec, writer, "echo", 30) if processor.policy.memoize else None
            return Model(processor, processor.policy, writer, memo)

        models = ModelVersions([model(one) for one in (self.processor, *self.others)], self.rollout)
        self.channel = RecordingChannel()
        self.decoder = RequestDecoder(
            self.codec, ECHO, self.requests, splice, models.default.writer, writer_of=models.writer_of
        )
        runner = JobRunner(models, self.decoder, lambda *_: self.files, self.scratch, self.channel)
        self.executor = choose_executor(runner, self.channel)
        self.inbox: SimpleQueue[Any] = SimpleQueue()
        self._sent = 0

    def send(
        self,
        *values: bytes,
        flags: int = 0,
        error_code: bytes = b"",
        headers: Mapping[str, bytes] = NO_HEADERS,
        lane: int = 0,
    ) -> None:
        jobs = []
        for value in values:
            jobs.append(JobFrame(self._sent, 1, flags, lane, 3, 100 + self._sent, 5, 6, error_code, headers, value))
            self._sent += 1
        self.inbox.put((MessageKind.JOBS, b"".join(map(protocol.pack_job, jobs))))

    def request(self, message: str, **changed: Any) -> bytes:
        """A request's bytes."""
        input_ = EchoInput(message)
        made = {"created_at": datetime.now(UTC), "input_sha256": input_hash(self.requests, input_)}
        fields = {"job_id": new_id(), "processor": "echo", **made, **changed}
        return self.requests.encode(to_plain(Request(JobHeader(**fields), input_)))

    def work(self) -> None:
        """Run until everything sent is answered, on a thread like the child's own."""
        worker = threading.Thread(target=self.executor.work, args=(self.inbox,))
        worker.start()
        enough = self.channel.wait_for(self._sent)
        self.inbox.put(None)
        worker.join(10)
        assert enough, f"{len(self.channel.answered)} of {self._sent} were answered"

    def result(self, slot: int) -> dict[str, Any]:
        return self.codec.decode(self.channel.answered[slot].value)

    def code(self, slot: int) -> str | None:
        error = self.result(slot)["result"]["error"]
        return None if error is None else str(error["code"])


def named(job_id: str) -> dict[str, bytes]:
    """Headers that name a job and nothing else."""
    return {JOB: job_id.encode()}
