"""From a frame to a job that may run, or to the answer that says why it may not."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from processors.protocol import Job
from schemas import headers
from schemas.codec import Codec, Encoder, schema_id_of
from schemas.contract import AnyContract, known_processors, unknown_processor
from schemas.envelope import header_of, request_of
from schemas.errors import (
    DeadlineExceeded,
    ErrorCode,
    HeaderMismatch,
    InvalidInput,
    JobCancelled,
    JobError,
    JobTimeout,
    PayloadTooLarge,
    SluiceError,
    UndecodableRecord,
    UnknownProcessor,
    Unreachable,
    WorkerLost,
)
from schemas.records import JobHeader, Request
from schemas.splice import HeaderSplice
from schemas.states import Disposition
from streams.worker.child.context import WorkerJobContext
from streams.worker.child.results import JobTimings, ResultWriter, header_from_told, told_headers
from streams.worker.protocol import Answer, Flag, JobFrame

if TYPE_CHECKING:
    from streams.worker.child.versions import Model

#: As schemas.ids.is_job_id; every job passes here, and making a UUID of it costs ten times as much.
JOB_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

#: What the parent may have judged, by the code it sends. None of them runs.
VERDICTS: dict[str, JobError] = {
    ErrorCode.TIMEOUT_ERROR: JobTimeout("The job's hard limit passed, so its process was killed."),
    ErrorCode.WORKER_LOST: WorkerLost(
        "The job's process died each time it was run.",
        next_step="Look at the worker's log and at the input: it may need more memory than the machine has.",
    ),
    ErrorCode.CANCELLED: JobCancelled("The job was cancelled."),
    ErrorCode.DEADLINE_EXCEEDED: DeadlineExceeded("The deadline passed while the job ran, so its process was killed."),
    ErrorCode.PAYLOAD_TOO_LARGE: PayloadTooLarge("Kafka refused the result because it is too large."),
}


@dataclass(slots=True)
class Task:
    """A job on its way through the child."""

    frame: JobFrame
    job: Job[Any]
    context: WorkerJobContext
    model: Model
    clock: JobTimings = field(default_factory=JobTimings)
    item: Any = None
    header: bytes | None = None
    bucket: Hashable = None
    cost: float = 0.0


class DecodedRequest(NamedTuple):
    """A request that may run. `header` is the header as it came, where the result can carry it on unchanged."""

    request: Request[Any]
    header: bytes | None


class RequestDecoder:
    """Decodes and checks. Raises Unreachable from `read` when a schema can't be fetched now; everything else is answered."""

    def __init__(
        self,
        codec: Codec,
        contract: AnyContract,
        requests: Encoder,
        splice: HeaderSplice,
        writer: ResultWriter,
        *,
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

    def can_read(self, frame: JobFrame) -> bool:
        """Whether `read` will answer at once: asking a registry that hangs would hold up every other job."""
        try:
            return bool(frame.flags & Flag.SKIP_DECODING) or schema_id_of(frame.value) in self._known
        except UndecodableRecord:
            return True

    def read(self, frame: JobFrame) -> DecodedRequest | Answer:
        """The request, checked, or the answer of a job that must not run."""
        if frame.flags & Flag.SKIP_DECODING:
            killer = UndecodableRecord("Reading the record ended the process that read it.")
            return self._dead(frame, header_from_told(frame, self._contract.name), killer)
        try:
            opened = self._decode(frame)
        except Unreachable:
            raise
        except (SluiceError, UndecodableRecord) as error:
            return self._refuse_unreadable(frame, error)
        refusal = self._refusal(frame, opened.request.header)
        if refusal is not None:
            return refusal
        return _tried_again(opened, frame.attempt) if frame.attempt else opened

    def _decode(self, frame: JobFrame) -> DecodedRequest:
        try:
            split = self._splice.split(frame.value)
            if split is not None:
                header, as_it_came, given = split
                return DecodedRequest(request_of(self._contract, {"header": header, "input": given}), as_it_came)
            plain = self._codec.decode(frame.value, self._reader_schema)
            self._known.add(schema_id_of(frame.value))
            return DecodedRequest(request_of(self._contract, plain), None)
        except (Unreachable, UndecodableRecord):
            raise
        except Exception as error:
            raise UndecodableRecord(f"The record is no request of {self._contract.name!r}: {error}."[:300]) from error

    def _refusal(self, frame: JobFrame, header: JobHeader) -> Answer | None:
        if not JOB_ID.fullmatch(header.job_id):
            return self._dead(frame, None, UndecodableRecord("The record's job_id is no UUID in its canonical form."))
        if frame.headers != (
            header.job_id.encode(),
            b"%d" % header.run,
            b"%d" % header.attempt,
            header.processor.encode(),
        ):
            wrong = headers.contradictions(told_headers(frame), header)
            if wrong:
                return self._contradicted(frame, header, wrong)
        if frame.attempt:
            header = replace(header, attempt=frame.attempt)
        if header.processor != self._contract.name:
            return self._writer.failed(
                frame, header, wrong_processor(header.processor, self._contract.name), _no_time()
            )
        if frame.flags & Flag.REJECTED:
            return self._verdict(frame, header)
        if header.not_before is not None and header.source_coordinates is None:
            return self._too_early(frame, header)
        if header.deadline is not None and header.deadline <= self._now():
            late = DeadlineExceeded("The deadline had passed before the job was started.")
            return self._writer.failed(frame, header, late, _no_time())
        return None

    def _too_early(self, frame: JobFrame, header: JobHeader) -> Answer:
        """Done without a word: only the timekeeper releases it, by publishing it again at its time (docs/adr/0013)."""
        if self.ordered:
            error = InvalidInput(f"{self._contract.name!r} works in order, so none of its jobs can wait for a time.")
            return self._writer.failed(frame, header, error, _no_time())
        return Answer(
            frame.slot,
            frame.execution,
            Disposition.RETRY,
            header.job_id,
            header.run,
            header.attempt,
            b"",
            header.processor,
        )

    def _contradicted(self, frame: JobFrame, header: JobHeader, wrong: list[str]) -> Answer:
        error = HeaderMismatch(f"The Kafka headers {', '.join(wrong)} contradict the record.")
        return self._dead(frame, header, error)

    def _verdict(self, frame: JobFrame, header: JobHeader) -> Answer:
        code = frame.error_code.decode()
        error = VERDICTS[code]
        lost = code == ErrorCode.WORKER_LOST
        dead = (code, error.message) if lost else ("", "")
        return self._writer.failed(frame, header, error, _no_time(), final=lost, dead=dead)

    def _refuse_unreadable(self, frame: JobFrame, error: SluiceError) -> Answer:
        """A dead letter, and a failed result if anything names the job: its value without our types, else Kafka's headers."""
        header = self._header_anyhow(frame)
        if header is not None and header.processor != self._contract.name:
            return self._writer.failed(
                frame, header, wrong_processor(header.processor, self._contract.name), _no_time()
            )
        header = header or header_from_told(frame, self._contract.name)
        return self._dead(frame, header, error)

    def _header_anyhow(self, frame: JobFrame) -> JobHeader | None:
        """The header of a record that is readable by its own schema but is none of this processor's requests."""
        try:
            header = header_of(self._codec.decode(frame.value))
            return header if JOB_ID.fullmatch(header.job_id) else None
        except Exception:  # noqa: BLE001 - see _decode
            return None

    def _dead(self, frame: JobFrame, header: JobHeader | None, error: SluiceError) -> Answer:
        dead = (str(error.code), error.message)
        if header is None:
            return Answer(frame.slot, frame.execution, Disposition.FAILED, "", 0, 0, b"", "", *dead)
        return self._writer.failed(frame, header, error, _no_time(), final=True, dead=dead)


def _tried_again(opened: DecodedRequest, attempt: int) -> DecodedRequest:
    """An ordered job that is tried again in place: its record still says the first attempt."""
    request = opened.request
    return DecodedRequest(Request(replace(request.header, attempt=attempt), request.input), None)


def wrong_processor(named: str, ours: str) -> JobError:
    """A request that came through our topic for a processor that is another, or none at all."""
    if named in known_processors():
        return UnknownProcessor(
            f"The request names processor {named!r} but came through the topic of {ours!r}.",
            next_step="Publish it to the topic of its processor.",
        )
    return unknown_processor(named)


def soft_deadline(header: JobHeader, policy_ms: int | None) -> float | None:
    """When, by the monotonic clock, the job is to be told that it takes too long."""
    limit = header.soft_limit_ms if header.soft_limit_ms is not None else policy_ms
    return None if limit is None else time.monotonic() + limit / 1000


def _no_time() -> JobTimings:
    return JobTimings()
