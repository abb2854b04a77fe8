"""Decodes and checks a request: the result is a job that may run, or the answer of one that must not."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from processors.protocol import Job
from schemas import headers
from schemas.codec import Codec, Encoder, schema_id_of
from schemas.contract import AnyContract, known_processors, unknown_processor
from schemas.envelope import header_of
from schemas.errors import (
    DeadlineExceeded,
    DeviceFault,
    ErrorCode,
    HeaderMismatch,
    InvalidInput,
    JobCancelled,
    JobError,
    JobTimeout,
    OutOfMemory,
    PayloadTooLarge,
    SluiceError,
    UndecodableRecord,
    UnknownProcessor,
    Unreachable,
    WorkerLost,
)
from schemas.plain import from_plain
from schemas.records import JobHeader
from schemas.splice import HeaderSplice
from schemas.states import Disposition
from streams.worker.child.results import ResultWriter, answer
from streams.worker.header_from_kafka import header_from_kafka
from streams.worker.protocol import Answer, Flag, JobFrame

#: Accepts what schemas.ids.is_job_id accepts. Every job passes here, and making a UUID costs ten times as much.
JOB_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

#: The errors of jobs that the parent has rejected (Flag.REJECTED), by the code it sends.
REJECTIONS: dict[str, JobError] = {
    ErrorCode.TIMEOUT_ERROR: JobTimeout("The job's hard limit passed, so its process was killed."),
    ErrorCode.WORKER_LOST: WorkerLost(
        "The process or the worker died each time it was run.",
        next_step="Look at the worker's log and at the input: it may need more memory than the machine has.",
    ),
    ErrorCode.CANCELLED: JobCancelled("The job was cancelled."),
    ErrorCode.DEADLINE_EXCEEDED: DeadlineExceeded("The deadline passed while the job ran, so its process was killed."),
    ErrorCode.OUT_OF_MEMORY: OutOfMemory(
        "The job's process exceeded its memory limit, and again when the job ran alone in a new process.",
        next_step="Raise SLUICE_CHILD_MEMORY_MIB if the machine has more, or make the input smaller.",
    ),
    ErrorCode.DEVICE_FAULT: DeviceFault(
        "The device failed under this job, and again when it ran alone in a new process.",
        next_step="Look for device_lost in the worker's log, and at the input: an index in it may be out of range.",
    ),
    ErrorCode.PAYLOAD_TOO_LARGE: PayloadTooLarge("Kafka refused the result because it is too large."),
}


class RequestDecoder:
    """Decodes and checks requests. `writer`: of the default version; `writer_of`: of the version that runs a job.
    `ordered`: the processor's jobs have an order. `now` is compared with deadlines."""

    def __init__(
        self,
        codec: Codec,
        contract: AnyContract,
        requests: Encoder,
        splice: HeaderSplice,
        writer: ResultWriter,
        *,
        writer_of: Callable[[JobHeader], ResultWriter] | None = None,
        ordered: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._now = now
        self.ordered = ordered
        self._splice = splice
        self._codec = codec
        self._known = {requests.schema_id}  # schemas that decode without asking the registry
        self._contract = contract
        self._reader_schema = requests.parsed
        self._writer = writer
        self._writer_of = writer_of or (lambda _: writer)

    def can_read(self, frame: JobFrame) -> bool:
        """True if `read` does not ask the registry, which may hang: that would hold up every other job."""
        try:
            return bool(frame.flags & Flag.SKIP_DECODING) or schema_id_of(frame.value) in self._known
        except UndecodableRecord:
            return True

    def read(self, frame: JobFrame) -> tuple[Job[Any], bytes | None] | Answer:
        """Return the job and its header's bytes (None if another schema wrote them), or the answer of a job that must not run.

        Raises Unreachable if a schema can't be fetched now.
        """
        if frame.flags & Flag.SKIP_DECODING:
            error = UndecodableRecord("Reading the record ended the process that read it.")
            return self._dead(frame, header_from_kafka(frame, self._contract.name), error)
        try:
            job, header_bytes = self._decode(frame)
        except Unreachable:
            raise
        except (SluiceError, UndecodableRecord) as error:
            return self._undecodable(frame, error)
        refused = None if frame.flags & Flag.TEST else self._check(frame, job.header)
        if refused is not None:
            return refused
        if frame.attempt:  # an ordered job that is retried in place: its record still says the first attempt
            return Job(replace(job.header, attempt=frame.attempt), job.input), None
        return job, header_bytes

    def unforeseen(self, frame: JobFrame, error: Exception) -> Answer:
        """Answer a record for which the engine's own code raised an error, whose text may quote the input."""
        refused = UndecodableRecord(f"The record can't be used: {type(error).__name__}.")
        return self._dead(frame, header_from_kafka(frame, self._contract.name), refused)

    def _decode(self, frame: JobFrame) -> tuple[Job[Any], bytes | None]:
        header_bytes: bytes | None = None
        try:
            split = self._splice.split(frame.value)
            if split is not None:
                header, header_bytes, input_ = split
                plain = {"header": header, "input": input_}
            else:
                plain = self._codec.decode(frame.value, self._reader_schema)
                self._known.add(schema_id_of(frame.value))
            return Job(header_of(plain), from_plain(self._contract.input, plain["input"])), header_bytes
        except (Unreachable, UndecodableRecord):
            raise
        except Exception as error:
            raise UndecodableRecord(f"The record is no request of {self._contract.name!r}: {error}."[:300]) from error

    def _check(self, frame: JobFrame, header: JobHeader) -> Answer | None:
        """Return the answer of a job that must not run; None for one that may."""
        if not JOB_ID.fullmatch(header.job_id):
            return self._dead(frame, None, UndecodableRecord("The record's job_id is no UUID in its canonical form."))
        wrong = headers.contradictions(frame.headers, header)
        if wrong:
            error = HeaderMismatch(f"The Kafka headers {', '.join(wrong)} contradict the record.")
            return self._dead(frame, header, error)
        if frame.attempt:
            header = replace(header, attempt=frame.attempt)
        if header.processor != self._contract.name:
            return self._writer.failed(frame, header, wrong_processor(header.processor, self._contract.name))
        if frame.flags & Flag.REJECTED:
            return self._rejected(frame, header)
        if header.not_before is not None and header.source_coordinates is None:
            return self._too_early(frame, header)
        if header.deadline is not None and header.deadline <= self._now():
            late = DeadlineExceeded("The deadline had passed before the job was started.")
            return self._writer.failed(frame, header, late)
        return None

    def _too_early(self, frame: JobFrame, header: JobHeader) -> Answer:
        """Answer a job that waits for its time (docs/adr/0013): `Answer.postponed`, a disposition that no record carries."""
        if self.ordered:
            error = InvalidInput(f"{self._contract.name!r} works in order, so none of its jobs can wait for a time.")
            return self._writer.failed(frame, header, error)
        return answer(frame, header, Disposition.RETRY, b"")

    def _rejected(self, frame: JobFrame, header: JobHeader) -> Answer:
        """Answer a job that the parent has rejected."""
        code = frame.error_code.decode()
        error = REJECTIONS[code]
        dead = code in (ErrorCode.WORKER_LOST, ErrorCode.PAYLOAD_TOO_LARGE)
        # It was alone in a new process, so another attempt would end alike.
        final = code in (ErrorCode.WORKER_LOST, ErrorCode.OUT_OF_MEMORY)
        writer = self._writer_of(header)
        return writer.failed(frame, header, error, final=final, dead=(code, error.message) if dead else ("", ""))

    def _undecodable(self, frame: JobFrame, error: SluiceError) -> Answer:
        """Answer with a dead letter, and a failed result if anything names the job: its value read by its own schema, else
        Kafka's headers."""
        header = self._header_by_own_schema(frame)
        if header is not None and header.processor != self._contract.name:
            return self._writer.failed(frame, header, wrong_processor(header.processor, self._contract.name))
        return self._dead(frame, header or header_from_kafka(frame, self._contract.name), error)

    def _header_by_own_schema(self, frame: JobFrame) -> JobHeader | None:
        """Return the header of a record that its own schema can read, although it is no request of this processor."""
        try:
            header = header_of(self._codec.decode(frame.value))
            return header if JOB_ID.fullmatch(header.job_id) else None
        except Exception:  # noqa: BLE001 - see _decode
            return None

    def _dead(self, frame: JobFrame, header: JobHeader | None, error: SluiceError) -> Answer:
        """Answer with a dead letter, and a failed result unless the job is unknown."""
        dead = (str(error.code), error.message)
        if header is None:
            return Answer(frame.slot, frame.execution, Disposition.FAILED, "", 0, 0, b"", "", *dead)
        return self._writer.failed(frame, header, error, final=True, dead=dead)


def wrong_processor(named: str, ours: str) -> JobError:
    """Return the error of a request in our topic that names another processor, or one that does not exist."""
    if named in known_processors():
        return UnknownProcessor(
            f"The request names processor {named!r} but came through the topic of {ours!r}.",
            next_step="Publish it to the topic of its processor.",
        )
    return unknown_processor(named)


def soft_deadline(header: JobHeader, policy_ms: int | None) -> float | None:
    """Return the time, by the monotonic clock, at which the job is asked to stop: its own soft limit, else the policy's."""
    limit_ms = header.soft_limit_ms if header.soft_limit_ms is not None else policy_ms
    return None if limit_ms is None else time.monotonic() + limit_ms / 1000
