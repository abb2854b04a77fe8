"""The frames between parent and child: a length, a kind, and fields packed with `struct`. One frame carries many jobs.

Jobs and answers use neither pickle nor JSON: packing takes about a microsecond, and nothing in a record is ever evaluated.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from schemas.headers import ATTEMPT, JOB, MODE, PROCESSOR, RUN
from schemas.states import Disposition
from streams.settings import Settings

#: The Kafka headers that are passed on to the child.
HEADERS = (JOB, RUN, ATTEMPT, PROCESSOR, MODE)
#: Bytes of one Kafka header that are passed on. A header that was cut contradicts its record, so the job is rejected.
LONGEST_HEADER = 1000
#: The sequence number of a result, after every progress report of its execution.
LAST_SEQUENCE = 2**31 - 1

FRAME = struct.Struct("<IB")
_JOB = struct.Struct("<IHBBHqqqHhhhhhIi")
_ANSWER = struct.Struct("<IBHiiHHHHHIi")

DISPOSITIONS = (Disposition.SUCCEEDED, Disposition.RETRY, Disposition.FAILED, Disposition.CANCELLED)

#: The settings that a child gets through its pipe. Credentials of the database and of callbacks stay in the parent.
CHILD_SETTINGS = {
    *("home", "objects_url", "topic_prefix", "weights_dir", "max_batch", "rollout", "load_timeout_s", "memo_days"),
    *("hard_limit_s", "child_memory_mib", "worker_gateway", "worker_ca", "worker_certificate", "worker_key"),
    *("log_level", "log_format"),
}


@dataclass(frozen=True, slots=True)
class ChildConfig:
    """The configuration that a child gets at its start: a part of the settings, and facts that the parent looked up."""

    processor: str
    worker_id: str
    device: str
    scratch: str
    settings: dict[str, Any]
    topics: list[list[str]]  # name and topic id, by lane
    schema_ids: dict[str, int]  # by subject, the id of our schema

    def frame(self) -> bytes:
        return json_frame(MessageKind.CONFIG, asdict(self))


class TopicReplaced(Exception):
    """A topic was made again, so its id in the ChildConfig is out of date and the engine must start over."""


def load_trace(scratch: Path, pid: int) -> Path:
    """The file to which a child writes every thread's traceback if it hangs while it loads its processor."""
    return scratch / f"load-{pid}.trace"


def child_settings(settings: Settings) -> dict[str, Any]:
    """The settings that a child gets, by field name."""
    made = settings.model_dump(mode="json", include=CHILD_SETTINGS)
    if settings.worker_gateway:
        return made | {"gateway_token": settings.gateway_secret}  # through the pipe: a child moves its files itself
    return made | {
        "schema_registry_url": settings.registry_url,
        "objects_options": settings.objects_options.get_secret_value(),  # through the pipe: a child opens claims itself
    }


class MessageKind(IntEnum):
    """The parent sends CONFIG once, then JOBS, DISCARD, CANCEL, RETIRE. The child sends READY or BROKEN once, then the others.

    DISCARD: forget jobs that have not begun; DISCARDED answers with the slots of those. The parent sends it to release jobs
    (another worker may have what has not begun), and with CANCEL to disown them (not ours any more: stop what runs as well).
    PREPARED: these jobs wait for the device until they are STARTED again. BATCH_LIMIT: the device ran out of memory, so batches
    are smaller from now on. DEVICE_LOST: the device fails whatever it is asked, under one of these jobs; replace the process.
    HELPER_LOST: one of its helper processes died with these jobs, so the child ends.
    RETIRE: finish what you have, then exit. DRAINED: everything is answered, the process exits now. TEXT: see text_frame.py.
    """

    CONFIG = 1
    JOBS = 2
    DISCARD = 3
    READY = 4
    BROKEN = 5
    STARTED = 6
    ANSWERS = 7
    PROGRESS = 8
    CANCEL = 9
    DISCARDED = 10
    RETIRE = 11
    BATCH_LIMIT = 12
    PREPARED = 13
    DRAINED = 14
    DEVICE_LOST = 15
    TEXT = 16
    HELPER_LOST = 17


class Flag(IntEnum):
    """How to run a job. ISOLATED: alone, because it may have killed its process. REJECTED: not at all, only answer with
    `error_code`. SKIP_DECODING: without reading its value, because decoding it has killed a process. TEST: the worker's
    self-test: call the processor's `warm_up`, then run the job, if there is one, although it has been run before."""

    ISOLATED = 1
    REJECTED = 2
    SKIP_DECODING = 4
    TEST = 8


class JobFrame(NamedTuple):
    """A request for the child.

    The child gets only HEADERS of its Kafka headers. `lane` is the lane's position in `schemas.states.Lane`. `error_code` says
    why a job with Flag.REJECTED failed. `attempt` replaces the record's attempt (an ordered job is retried in place); 0 keeps
    the record's.
    """

    slot: int
    execution: int
    flags: int
    lane: int
    partition: int
    offset: int
    received_us: int
    timestamp_ms: int
    error_code: bytes
    headers: Mapping[str, bytes]
    value: bytes
    attempt: int = 0


class Answer(NamedTuple):
    """The child's answer to one job: an encoded Result, a reason for a dead letter, or both; neither if `postponed`.

    An empty `value` means that there is no Result (the record names no job that could fail), an empty `dead_reason` that there
    is no dead letter. `retry_in_ms` is the wait before the next attempt if a Result's disposition is `retry`, else -1.
    `failure`: code and type of an error that may be this worker's own fault, "" for any other.
    """

    slot: int
    execution: int
    disposition: Disposition
    job_id: str
    run: int
    attempt: int
    value: bytes
    processor: str = ""
    dead_reason: str = ""
    dead_message: str = ""
    retry_in_ms: int = -1
    failure: str = ""

    @property
    def postponed(self) -> bool:
        """True for a job whose start time has not come. It did not run; the timekeeper publishes its request again then."""
        return not self.value and not self.dead_reason


def write_frame(kind: MessageKind, parts: Iterable[bytes]) -> bytes:
    body = b"".join(parts)
    return FRAME.pack(len(body), kind) + body


def read_frame(stream: BinaryIO) -> tuple[MessageKind, bytes] | None:
    """Return the next frame; None at the end of the stream, also if the other side died in the middle of a frame."""
    head = stream.read(FRAME.size)
    if len(head) < FRAME.size:
        return None
    length, kind = FRAME.unpack(head)
    body = stream.read(length)
    return None if len(body) < length else (MessageKind(kind), body)


def json_frame(kind: MessageKind, fields: dict[str, Any]) -> bytes:
    """A frame for messages that are rare: configuration, readiness, progress."""
    return write_frame(kind, [json.dumps(fields).encode()])


def pack_job(job: JobFrame) -> bytes:
    slot, execution, flags, lane, partition, offset, received_us, timestamp_ms, error_code, headers, value, retry = job
    job_id, run, attempt, processor, mode = [(text := headers.get(name)) and text[:LONGEST_HEADER] for name in HEADERS]
    head = _JOB.pack(
        slot,
        execution,
        flags,
        lane,
        partition,
        offset,
        received_us,
        timestamp_ms,
        len(error_code),
        -1 if job_id is None else len(job_id),
        -1 if run is None else len(run),
        -1 if attempt is None else len(attempt),
        -1 if processor is None else len(processor),
        -1 if mode is None else len(mode),
        len(value),
        retry,
    )
    return b"".join((head, error_code, job_id or b"", run or b"", attempt or b"", processor or b"", mode or b"", value))


def unpack_jobs(body: bytes) -> Iterator[JobFrame]:
    at = 0
    size = _JOB.size
    while at < len(body):
        (slot, execution, flags, lane, partition, offset, received, stamp, nv, nj, nr, na, np, nm, n, retry) = (
            _JOB.unpack_from(body, at)
        )
        at += size
        error_code, at = body[at : at + nv], at + nv
        headers = {}
        for name, length in zip(HEADERS, (nj, nr, na, np, nm), strict=True):
            if length >= 0:
                headers[name], at = body[at : at + length], at + length
        value, at = body[at : at + n], at + n
        yield JobFrame(
            slot, execution, flags, lane, partition, offset, received, stamp, error_code, headers, value, retry
        )


def pack_answer(answer: Answer) -> bytes:
    slot, execution, disposition, job_id, run, attempt, value, processor, reason, message, retry_ms, failure = answer
    names = (
        job_id.encode(),
        processor[:100].encode(),
        reason.encode(),
        message[:1000].encode(errors="backslashreplace"),
        failure[:200].encode(errors="backslashreplace"),
    )
    head = _ANSWER.pack(
        slot,
        DISPOSITIONS.index(disposition),
        execution,
        run,
        attempt,
        len(names[0]),
        len(names[1]),
        len(names[2]),
        len(names[3]),
        len(names[4]),
        len(value),
        retry_ms,
    )
    return b"".join((head, *names, value))


def unpack_answers(body: bytes) -> Iterator[Answer]:
    at = 0
    while at < len(body):
        slot, disposition, execution, run, attempt, nj, np, nr, nm, nf, n, retry_ms = _ANSWER.unpack_from(body, at)
        at += _ANSWER.size
        job_id, at = body[at : at + nj].decode(), at + nj
        processor, at = body[at : at + np].decode(), at + np
        reason, at = body[at : at + nr].decode(), at + nr
        message, at = body[at : at + nm].decode(), at + nm
        failure, at = body[at : at + nf].decode(), at + nf
        value, at = body[at : at + n], at + n
        status = DISPOSITIONS[disposition]
        yield Answer(
            slot, execution, status, job_id, run, attempt, value, processor, reason, message, retry_ms, failure
        )


def pack_started(slots: Iterable[int], hard_ms: int | None) -> bytes:
    """Say that work on `slots` begins. The parent kills the process after `hard_ms` (None: never)."""
    numbers = list(slots)
    return struct.pack(f"<q{len(numbers)}I", -1 if hard_ms is None else hard_ms, *numbers)


def unpack_started(body: bytes) -> tuple[tuple[int, ...], int | None]:
    hard_ms, *slots = struct.unpack(f"<q{(len(body) - 8) // 4}I", body)
    return tuple(slots), None if hard_ms < 0 else hard_ms


def pack_slots(slots: Iterable[int]) -> bytes:
    numbers = list(slots)
    return struct.pack(f"<{len(numbers)}I", *numbers)


def unpack_slots(body: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(body) // 4}I", body)
