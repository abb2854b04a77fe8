"""Rules, uploads and outcomes for tests of the router, and a handler on the twins in memory."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.avsc import result_schema, self_contained
from schemas.contract import contract
from schemas.errors import SluiceError
from schemas.plain import to_plain
from schemas.records import Claim, EchoOutput, EmbedOutput, JobHeader, Result, ResultInfo, Timings, Upload
from schemas.registry import MemoryRegistry
from streams import wiring
from streams.router.handler import Handler
from streams.router.joins import Piece
from streams.router.publisher import Kept, ReadRecord
from streams.router.routing import RoutedJob, Routing
from streams.router.rules import Rules
from streams.settings import Settings

START = datetime(2026, 11, 1, tzinfo=UTC)
RULES = """
[[upload]]
name = "volumes"
kind = "mr"
submit = [
  { processor = "segmentation", input = { volume = "$upload.claim" } },
  { processor = "echo", input = { message = "$upload.filename" } },
]

[[join]]
name = "both"
of.a.processor = "echo"
of.b.processor = "embed"
submit = [{ processor = "echo", input = { message = "$a.output.message" }, labels = { first = "$a.header.job_id" } }]

[[join]]
name = "with-table"
of.a.processor = "echo"
of.table.upload.kind = "table"
submit = [{ processor = "segmentation", input = { volume = "$table.claim" } }]
"""


def rules(text: str = RULES) -> Rules:
    return Rules.model_validate(tomllib.loads(text))


def upload(upload_id: str = "u1", **changes: Any) -> Upload:
    made = Upload(upload_id, Claim("file:///x", "ab" * 32, 10), START, "scan.nii", "mr", case_id="c1")
    return replace(made, **changes)


def result(processor: str, number: int = 0, disposition: str = "succeeded", **header: Any) -> Result[Any]:
    """Return an outcome; a greater number is a newer job."""
    fields: dict[str, Any] = {"case_id": "c1", "created_at": START + timedelta(seconds=number), "input_sha256": ""}
    job = JobHeader(job_id=f"00000000-0000-0000-0000-{number:012d}", processor=processor, **fields | header)
    outputs = {"echo": EchoOutput(f"message {number}", 9), "embed": EmbedOutput([1.0])}
    info = ResultInfo(disposition, "w", "cpu", Timings(START, START, START))
    return Result(job, info, outputs[processor] if disposition == "succeeded" else None)


class Recorder:
    """Publishes into lists. `raises` are raised by the next calls, in sequence."""

    def __init__(self) -> None:
        self.jobs: list[RoutedJob] = []
        self.pieces: list[Piece] = []
        self.dead: list[tuple[ReadRecord, SluiceError]] = []
        self.kept: list[Kept] = []
        self.refuse: dict[str, SluiceError] = {}
        self.raises: list[SluiceError | None] = []

    def submit(self, jobs: Any) -> list[SluiceError | None]:
        self._raise()
        self.jobs += [job for job in jobs if job.rule not in self.refuse]
        return [self.refuse.get(job.rule) for job in jobs]

    def publish(self, pieces: Any, dead: Any) -> None:
        self._raise()
        self.pieces += pieces
        self.dead += dead

    def keep(self, entries: Any) -> None:
        self._raise()
        self.kept += entries

    def _raise(self) -> None:
        error = self.raises.pop(0) if self.raises else None
        if error is not None:
            raise error


class HandlerKit:
    """A handler, its publisher and its state, and the encoders of what it reads."""

    def __init__(self, text: str = RULES, **more: Any) -> None:
        self.settings = Settings(
            kafka_bootstrap_servers="memory:router", schema_registry_url="memory:router", database_url="memory:router"
        )
        self.registry = wiring.registry(self.settings)
        assert isinstance(self.registry, MemoryRegistry)
        self.codec = wiring.codec(self.settings)
        self._routing, self._more = Routing(rules(text)), more
        self.start(Recorder(), {})
        self._offset = 0
        self._uploads = self.codec.encoder("uploads-value", self_contained("Upload"), register=True)

    def start(self, recorder: Recorder, state: dict[bytes, bytes]) -> None:
        """Make a new handler. It gets a copy of the state, as it is read back from the log."""
        self.recorder, self.state = recorder, dict(state)
        self.handler = Handler(self.settings, self._routing, recorder, self.state, self.codec, **self._more)

    def record(self, topic: str, value: bytes | None, partition: int = 0) -> ReadRecord:
        self._offset += 1
        return ReadRecord(topic, partition, self._offset, b"key", value)

    def upload(self, made: Upload) -> ReadRecord:
        return self.record("uploads", self._uploads.encode(to_plain(made)))

    def outcome(self, made: Result[Any]) -> ReadRecord:
        name = made.header.processor
        encoder = self.codec.encoder(f"results.{name}-value", result_schema(contract(name)), register=True)
        return self.record(f"outcomes.{name}", encoder.encode(to_plain(made)))

    def part(self, piece: Piece) -> ReadRecord:
        return self.record("join-parts", piece.encode())

    def handle(self, *records: ReadRecord) -> None:
        """Handle records, then the parts that they made, as the router reads them."""
        self.handler.handle(records)
        pieces, self.recorder.pieces = self.recorder.pieces, []
        if pieces:
            self.handler.handle([self.part(piece) for piece in pieces])

    def keys(self) -> list[str]:
        """Return the idempotency keys of the submitted jobs."""
        return [str(job.options["idempotency_key"]) for job in self.recorder.jobs]
