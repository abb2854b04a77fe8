"""What a job's end looks like on the wire: the Result record, built as plain data because every job passes here.

`RetryDecider` decides what a failure means (retry or not, and when); `ResultWriter` encodes.
"""

from __future__ import annotations

import hashlib
import random
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from processors.policy import Policy
from schemas.codec import Encoder
from schemas.errors import JobCancelled, JobError, PayloadTooLarge, ProcessorBug, SluiceError
from schemas.headers import ATTEMPT, JOB, PROCESSOR, RUN
from schemas.ids import is_job_id
from schemas.plain import to_plain
from schemas.records import Claim, ErrorInfo, JobHeader
from schemas.splice import HeaderSplice
from schemas.states import Disposition
from streams.worker.child.text import LONGEST_MESSAGE, number_or_none, to_text
from streams.worker.protocol import Answer, JobFrame

#: Kafka's default limit is 1,048,588 bytes for the record with its key and headers; this leaves room for those.
LARGEST_RESULT = 1_000_000
#: Backoff has long reached its maximum by then; attempts come from the record and may be any number.
LARGEST_EXPONENT = 32
#: What a job's error may ask for at most: a day.
LONGEST_RETRY_AFTER_S = 86_400.0
#: The sequence of a result: after every word of progress of its execution.
LAST = 2**31 - 1

Plain = dict[str, Any]


@dataclass(slots=True)
class JobTimings:
    """What a job cost so far. Times are microseconds since the epoch, durations milliseconds."""

    started_us: int = 0
    prepare_ms: float = 0.0
    run_ms: float = 0.0
    finish_ms: float = 0.0
    batch_size: int = 1


@dataclass(frozen=True, slots=True)
class ResultSource:
    """What is the same in every result of one version in one child."""

    worker_id: str
    device: str
    device_note: str | None
    model_version: str
    model_sha256: str | None
    code_version: str
    topics: tuple[tuple[str, str], ...]  # name and topic id, by lane


class RetryDecider:
    """Turns an exception into what the result says."""

    def __init__(self, policy: Policy, jitter: Callable[[], float] = random.random) -> None:
        self._policy = policy
        self._jitter = jitter

    def disposition(self, error: JobError, header: JobHeader) -> tuple[Disposition, int | None]:
        """RETRY and the milliseconds to wait, or how the job ends. A wait that the error itself asks for is never cut short."""
        if isinstance(error, JobCancelled):
            return Disposition.CANCELLED, None
        backoff = self._policy.retry.backoff(error.code) if error.retryable else None
        if backoff is None or header.attempt >= min(header.max_attempts, backoff.max_attempts or header.max_attempts):
            return Disposition.FAILED, None
        exponent = min(max(header.attempt - 1, 0), LARGEST_EXPONENT)
        ceiling = min(backoff.max_s, backoff.base_s * backoff.factor**exponent)
        asked_s = min(max(number_or_none(getattr(error, "retry_after_s", None)) or 0.0, 0.0), LONGEST_RETRY_AFTER_S)
        return Disposition.RETRY, int((asked_s + self._jitter() * ceiling) * 1000)


def as_job_error(error: BaseException) -> JobError:
    """What a job's error becomes if it is none of ours. The message is kept short: it may quote what it was given."""
    if isinstance(error, JobError):
        return error
    if isinstance(error, SluiceError):
        bug: JobError = ProcessorBug(to_text(error))
        bug.code, bug.retryable = error.code, error.retryable
        return bug
    return ProcessorBug(f"{type(error).__name__}: {to_text(error)}"[:LONGEST_MESSAGE])


def error_info(error: BaseException) -> ErrorInfo:
    """The error as it travels. Alike failures share a fingerprint: code, type and place, never the values in a message."""
    told = as_job_error(error)
    place = _place(error)
    kind, code = type(error).__name__, to_text(told.code)
    fingerprint = hashlib.sha256(f"{code}|{kind}|{place}".encode()).hexdigest()[:16]
    return ErrorInfo(code, to_text(told), kind, fingerprint)


def _place(error: BaseException) -> str:
    """File and function that raised it; lines move with every edit, so they are left out."""
    frames = traceback.extract_tb(error.__traceback__)
    return to_text(f"{Path(frames[-1].filename).name}:{frames[-1].name}") if frames else ""


class ResultWriter:
    """Builds and encodes results of one processor."""

    def __init__(self, encoder: Encoder, splice: HeaderSplice, origin: ResultSource, judge: RetryDecider) -> None:
        self._encoder = encoder
        self._splice = splice
        self._origin = origin
        self._judge = judge

    def succeeded(
        self,
        frame: JobFrame,
        header: JobHeader,
        as_it_came: bytes | None,
        output: Any,
        clock: JobTimings,
        refs: list[Claim],
    ) -> Answer:
        """The answer of a job that worked; a failed one if its output can't travel. The header goes on as it came, if known."""
        try:
            tail = self._tail(frame, header, clock, Disposition.SUCCEEDED, output=to_plain(output), refs=refs)
            value = self._whole(header, tail) if as_it_came is None else self._splice.join(as_it_came, tail)
        except Exception as error:  # noqa: BLE001 - it may be anything that looks like an output
            bug = ProcessorBug(f"The output does not fit the result's schema: {to_text(error)}")
            return self.failed(frame, header, bug, clock)
        if len(value) > LARGEST_RESULT:
            return self.failed(frame, header, _too_large(len(value)), clock)
        return _answer(frame, header, Disposition.SUCCEEDED, value)

    def failed(
        self,
        frame: JobFrame,
        header: JobHeader,
        error: BaseException,
        clock: JobTimings,
        *,
        final: bool = False,
        dead: tuple[str, str] = ("", ""),
    ) -> Answer:
        """The answer of a job that did not. `final` forbids a retry; `dead` is reason and message of a dead letter.

        A processor's error may be of any make: one that can't be told ends its job as the processor's bug, and no other.
        """
        try:
            return self._told(frame, header, error, clock, final, dead)
        except Exception as fault:  # noqa: BLE001 - its class, its code or its fields are of the processor's making
            bug = ProcessorBug(f"{type(error).__name__}, which can't be told: {type(fault).__name__}")
            return self._told(frame, header, bug, clock, final, dead)

    def _told(
        self,
        frame: JobFrame,
        header: JobHeader,
        error: BaseException,
        clock: JobTimings,
        final: bool,
        dead: tuple[str, str],
    ) -> Answer:
        job_error = as_job_error(error)
        disposition, retry_ms = (Disposition.FAILED, None) if final else self._judge.disposition(job_error, header)
        tail = self._tail(frame, header, clock, disposition, error=error_info(error), retry_ms=retry_ms)
        value = self._whole(header, tail)
        answer = _answer(frame, header, disposition, value)
        wait = -1 if retry_ms is None else min(retry_ms, LAST)
        return answer._replace(dead_reason=dead[0], dead_message=dead[1], retry_in_ms=wait)

    def _whole(self, header: JobHeader, tail: Plain) -> bytes:
        return self._encoder.encode({"header": to_plain(header), **tail})

    def _tail(
        self,
        frame: JobFrame,
        header: JobHeader,
        clock: JobTimings,
        disposition: Disposition,
        *,
        output: Plain | None = None,
        error: ErrorInfo | None = None,
        retry_ms: int | None = None,
        refs: list[Claim] | None = None,
    ) -> Plain:
        """The record but for its header."""
        origin = self._origin
        topic, topic_id = origin.topics[frame.lane]
        return {
            "result": {
                "disposition": disposition.value,
                "worker_id": origin.worker_id,
                "device": origin.device,
                "device_note": origin.device_note,
                "timings": _timings(frame, clock),
                "execution": frame.execution,
                "sequence": LAST,
                "request_coordinates": {
                    "topic": topic,
                    "partition": frame.partition,
                    "offset": frame.offset,
                    "topic_id": topic_id,
                },
                "error": None if error is None else to_plain(error),
                "retry_in_ms": retry_ms,
                "model_version": origin.model_version,
                "model_sha256": origin.model_sha256,
                "code_version": origin.code_version,
                "input_sha256": header.input_sha256,
                "output_refs": [to_plain(ref) for ref in refs or ()],
            },
            "output": output,
        }


def _timings(frame: JobFrame, clock: JobTimings) -> Plain:
    now = now_us()
    return {
        "received_at": frame.received_us,
        "started_at": clock.started_us or now,
        "finished_at": now,
        "prepare_ms": clock.prepare_ms,
        "run_ms": clock.run_ms,
        "finish_ms": clock.finish_ms,
        "batch_size": clock.batch_size,
    }


def _answer(frame: JobFrame, header: JobHeader, disposition: Disposition, value: bytes) -> Answer:
    return Answer(
        frame.slot, frame.execution, disposition, header.job_id, header.run, header.attempt, value, header.processor
    )


def _too_large(size: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"The result has {size} bytes; {LARGEST_RESULT} fit into the log.",
        next_step="Save large outputs as files (ctx.save) and return their claims.",
    )


def header_from_told(frame: JobFrame, processor: str) -> JobHeader | None:
    """As much of a header as Kafka's headers give, for a record whose value can't be read; None without a job's id."""
    told = frame.headers
    job_id = (told.job_id or b"").decode(errors="replace")
    if not is_job_id(job_id):
        return None
    return JobHeader(
        job_id=job_id,
        processor=(told.processor or processor.encode()).decode(errors="replace"),
        created_at=datetime.fromtimestamp(max(0, frame.timestamp_ms) / 1000, UTC),
        input_sha256="",
        run=_number(told.run, 0),
        attempt=_number(told.attempt, 1),
    )


def _number(text: bytes | None, default: int) -> int:
    try:
        return default if text is None else max(0, min(int(text), 2**31 - 1))
    except ValueError:
        return default


def told_headers(frame: JobFrame) -> dict[str, bytes]:
    """The Kafka headers that travelled with the job, by name."""
    names = (JOB, RUN, ATTEMPT, PROCESSOR)
    return {name: value for name, value in zip(names, frame.headers, strict=True) if value is not None}


def now_us() -> int:
    return time.time_ns() // 1000
