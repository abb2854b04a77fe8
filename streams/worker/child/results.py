"""Builds and encodes the Result record of a job. It is built as plain data, because every job passes here."""

from __future__ import annotations

import hashlib
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.codec import Encoder
from schemas.errors import (
    ConnectionFailed,
    DeviceFault,
    JobError,
    JobTimeout,
    OutOfMemory,
    PayloadTooLarge,
    ProcessorBug,
    SluiceError,
    UndecodableRecord,
    WorkerLost,
)
from schemas.plain import to_plain
from schemas.records import Claim, ErrorInfo, JobHeader
from schemas.splice import HeaderSplice
from schemas.states import Disposition
from streams.worker.child.retry import RetryDecider
from streams.worker.child.text import LONGEST_MESSAGE, to_text
from streams.worker.protocol import LAST_SEQUENCE, Answer, JobFrame

if TYPE_CHECKING:
    from streams.worker.child.task import Task

#: Kafka's default limit is 1,048,588 bytes for a record with its key and headers; this leaves room for those.
LARGEST_RESULT = 1_000_000
#: What fits into the answer's field, about 25 days.
LONGEST_RETRY_MS = 2**31 - 1

#: Errors that need not be the job's. ProcessorBug stands for every exception that is no JobError.
DOUBTFUL = (ProcessorBug, OutOfMemory, DeviceFault, JobTimeout, ConnectionFailed, WorkerLost)

Plain = dict[str, Any]


def as_job_error(error: BaseException) -> JobError:
    """Convert any exception to a JobError. The message is cut, because it may quote the input."""
    if isinstance(error, JobError):
        return error
    if isinstance(error, SluiceError):
        # Bytes that are no request say nothing of the worker.
        kind = JobError if isinstance(error, UndecodableRecord) else ProcessorBug
        bug: JobError = kind(to_text(error))
        bug.code, bug.retryable = error.code, error.retryable
        return bug
    return ProcessorBug(f"{type(error).__name__}: {to_text(error)}"[:LONGEST_MESSAGE])


def may_be_the_workers(error: JobError) -> bool:
    """True if a worker that is broken could fail any job like this. A processor's own JobErrors speak of one job."""
    return isinstance(error, DOUBTFUL)


def error_info(error: BaseException) -> ErrorInfo:
    """Describe an error for the result. Errors alike share a fingerprint: code, type and place, never values from a message."""
    job_error = as_job_error(error)
    place = _place(error)
    kind, code = type(error).__name__, to_text(job_error.code)
    fingerprint = hashlib.sha256(f"{code}|{kind}|{place}".encode()).hexdigest()[:16]
    return ErrorInfo(code, to_text(job_error), kind, fingerprint)


def _place(error: BaseException) -> str:
    """Return the file and function that raised the error, without the line: lines move with every edit."""
    frames = traceback.extract_tb(error.__traceback__)
    return to_text(f"{Path(frames[-1].filename).name}:{frames[-1].name}") if frames else ""


@dataclass(frozen=True, slots=True)
class ResultWriter:
    """Writes the results of one version of a processor in one child. The fields after `retries` are the same in each result."""

    encoder: Encoder
    splice: HeaderSplice
    retries: RetryDecider
    worker_id: str
    device: str
    device_note: str | None
    model_version: str
    model_sha256: str | None
    code_version: str
    #: Name and topic id of the request topics, by lane.
    topics: tuple[tuple[str, str], ...]

    def succeeded(self, task: Task, output: Any) -> Answer:
        """Answer a job that succeeded. If its output can't be encoded, it failed after all.

        The header is copied as it arrived where its bytes are known.
        """
        frame, header, header_bytes = task.frame, task.job.header, task.header_bytes
        try:
            tail = self._tail(
                frame, header, task, Disposition.SUCCEEDED, output=to_plain(output), refs=task.context.saved
            )
            value = self._encode(header, tail) if header_bytes is None else self.splice.join(header_bytes, tail)
        except Exception as error:  # noqa: BLE001 - the output may be any object
            bug = ProcessorBug(f"The output does not fit the result's schema: {to_text(error)}")
            return self.failed(frame, header, bug, task)
        if len(value) > LARGEST_RESULT:
            large = _too_large(len(value))
            return self.failed(frame, header, large, task, dead=(str(large.code), large.message))
        return answer(frame, header, Disposition.SUCCEEDED, value)

    def reused(self, task: Task, found: Plain) -> Answer:
        """Answer a job with the output of another run's Result, `found`: same input, same model, same code."""
        frame, header, header_bytes = task.frame, task.job.header, task.header_bytes
        tail = self._tail(frame, header, task, Disposition.SUCCEEDED, output=found["output"])
        made, by = found["result"], f"{found['header']['job_id']}:{found['header']['run']}"
        tail["result"] |= {name: made[name] for name in ("device", "device_note", "output_refs")}
        if (
            by != f"{header.job_id}:{header.run}"
        ):  # else an execution of this run made it, and crashed before its answer
            tail["result"]["reused_from"] = by
        assert header_bytes is not None
        return answer(frame, header, Disposition.SUCCEEDED, self.splice.join(header_bytes, tail))

    def memo(self, task: Task, output: Any) -> bytes:
        """Encode the Result of a job that has succeeded, to be reused. Its header says only whose output it is."""
        header = task.job.header
        kept = JobHeader(
            header.job_id,
            header.processor,
            header.created_at,
            header.input_sha256,
            run=header.run,
            tenant=header.tenant,
        )
        refs = task.context.saved
        return self._encode(
            kept, self._tail(task.frame, kept, task, Disposition.SUCCEEDED, output=to_plain(output), refs=refs)
        )

    def failed(
        self,
        frame: JobFrame,
        header: JobHeader,
        error: BaseException,
        task: Task | None = None,
        *,
        final: bool = False,
        dead: tuple[str, str] = ("", ""),
    ) -> Answer:
        """Answer a job that failed. `final` forbids a retry; `dead` is the reason and message of its dead letter.

        `task` is None for a job that was rejected before it started. A processor's error may be of any class: if it can't be
        described, this job fails with ProcessorBug and no other job is affected.
        """
        try:
            return self._failed(frame, header, error, task, final, dead)
        except Exception as fault:  # noqa: BLE001 - the error's class, code or fields are the processor's own
            bug = ProcessorBug(f"{type(error).__name__}, which can't be described: {type(fault).__name__}")
            return self._failed(frame, header, bug, task, final, dead)

    def _failed(
        self,
        frame: JobFrame,
        header: JobHeader,
        error: BaseException,
        task: Task | None,
        final: bool,
        dead: tuple[str, str],
    ) -> Answer:
        job_error = as_job_error(error)
        disposition, retry_ms = (Disposition.FAILED, None) if final else self.retries.decide(job_error, header)
        tail = self._tail(frame, header, task, disposition, error=error_info(error), retry_ms=retry_ms)
        failed = answer(frame, header, disposition, self._encode(header, tail))
        wait_ms = -1 if retry_ms is None else min(retry_ms, LONGEST_RETRY_MS)
        doubt = f"{to_text(job_error.code)} {type(error).__name__}" if may_be_the_workers(job_error) else ""
        return failed._replace(dead_reason=dead[0], dead_message=dead[1], retry_in_ms=wait_ms, failure=doubt)

    def _encode(self, header: JobHeader, tail: Plain) -> bytes:
        return self.encoder.encode({"header": to_plain(header), **tail})

    def _tail(
        self,
        frame: JobFrame,
        header: JobHeader,
        task: Task | None,
        disposition: Disposition,
        *,
        output: Plain | None = None,
        error: ErrorInfo | None = None,
        retry_ms: int | None = None,
        refs: list[Claim] | None = None,
    ) -> Plain:
        """Build the fields after the header."""
        topic, topic_id = self.topics[frame.lane]
        return {
            "result": {
                "disposition": disposition.value,
                "worker_id": self.worker_id,
                "device": self.device,
                "device_note": self.device_note,
                "timings": _timings(frame, task),
                "execution": frame.execution,
                "sequence": LAST_SEQUENCE,
                "request_coordinates": {
                    "topic": topic,
                    "partition": frame.partition,
                    "offset": frame.offset,
                    "topic_id": topic_id,
                },
                "error": None if error is None else to_plain(error),
                "retry_in_ms": retry_ms,
                "model_version": self.model_version,
                "model_sha256": self.model_sha256,
                "code_version": self.code_version,
                "input_sha256": header.input_sha256,
                "output_refs": [to_plain(ref) for ref in refs or ()],
            },
            "output": output,
        }


def answer(frame: JobFrame, header: JobHeader, disposition: Disposition, value: bytes) -> Answer:
    """Build an answer without a dead letter and without a wait."""
    return Answer(
        frame.slot, frame.execution, disposition, header.job_id, header.run, header.attempt, value, header.processor
    )


def _timings(frame: JobFrame, task: Task | None) -> Plain:
    now = now_us()
    return {
        "received_at": frame.received_us,
        "started_at": (task and task.started_us) or now,
        "finished_at": now,
        "prepare_ms": task.prepare_ms if task else 0.0,
        "run_ms": task.run_ms if task else 0.0,
        "finish_ms": task.finish_ms if task else 0.0,
        "batch_size": task.batch_size if task else 1,
    }


def _too_large(size: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"The result has {size} bytes; {LARGEST_RESULT} fit into the log.",
        next_step="Save large outputs as files (ctx.save) and return their claims.",
    )


def now_us() -> int:
    """Return the time in microseconds since the epoch."""
    return time.time_ns() // 1000
