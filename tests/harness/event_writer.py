"""Writes progress, generated text and outcomes of echo jobs into the log, as workers and the sink do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from schemas.avsc import result_schema, self_contained
from schemas.headers import MODE
from schemas.plain import to_plain
from schemas.records import ECHO, EchoOutput, JobHeader, Progress, Result, ResultInfo, Timings
from streams import wiring
from streams.log import kafka
from streams.settings import Settings


class EventWriter:
    def __init__(self, settings: Settings) -> None:
        self._names = settings.topics
        codec = wiring.codec(settings)
        self._progress = codec.typed(Progress, f"{self._names.progress}-value", self_contained("Progress"))
        self._result = codec.encoder(f"{self._names.results('echo')}-value", result_schema(ECHO))
        self._producer = kafka.producer(settings)

    def progress(self, job_id: str, sequence: int, stage: str = "run", mode: str = "", **changes: Any) -> None:
        fields: dict[str, Any] = {"run": 0, "attempt": 1, "execution": 1} | changes
        made = Progress(
            job_id, sequence=sequence, processor="echo", stage=stage, worker_id="w", at=datetime.now(UTC), **fields
        )
        self._write(self._names.progress, job_id, self._progress.encode(made), mode)

    def text(self, job_id: str, sequence: int, text: str, **changes: Any) -> None:
        self.progress(job_id, sequence, "text", text=text, **changes)

    def outcome(self, job_id: str, message: str = "hello", *, run: int = 0, **header: Any) -> None:
        now = datetime.now(UTC)
        made = JobHeader(job_id, "echo", now, input_sha256="a" * 64, run=run, **header)
        info = ResultInfo("succeeded", "w", "cpu", Timings(now, now, now), model_version="1")
        value = self._result.encode(to_plain(Result(made, info, EchoOutput(message, len(message)))))
        self._write(self._names.outcomes("echo"), f"{job_id}:{run}", value)

    def _write(self, topic: str, key: str, value: bytes, mode: str = "") -> None:
        self._producer.produce(topic, value, key.encode(), headers=[(MODE, mode.encode())] if mode else [])
        assert self._producer.flush(10) == 0
