"""Kafka headers: copies of the fields that the engine routes and schedules by, so that it need not decode the Avro value.

The Avro value is authoritative. Header values are UTF-8 text. A record without headers only costs one decode.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from schemas.records import JobHeader
from schemas.states import Mode

JOB = "sluice-job"
RUN = "sluice-run"
ATTEMPT = "sluice-attempt"
PROCESSOR = "sluice-processor"
DEADLINE = "sluice-deadline"
CUSTODY = "sluice-custody"
#: Of requests that are not live, and of their results and progress.
MODE = "sluice-mode"
CLAIMS = "sluice-claims"
DISPOSITION = "sluice-disposition"
EXECUTION = "sluice-execution"
REPLAY = "sluice-replay"
TRACEPARENT = "traceparent"

# A dead letter's origin and reason.
DL_PREFIX = "sluice-dl-"
DL_REASON = "sluice-dl-reason"
DL_MESSAGE = "sluice-dl-message"
DL_TOPIC = "sluice-dl-topic"
DL_PARTITION = "sluice-dl-partition"
DL_OFFSET = "sluice-dl-offset"
DL_ATTEMPTS = "sluice-dl-attempts"
DL_WORKER = "sluice-dl-worker"
DL_AT = "sluice-dl-at"

Header = tuple[str, bytes]


def request_headers(header: JobHeader, *, source: str, claims: Iterable[str] = ()) -> list[Header]:
    """Headers of a request: our own, and CloudEvents attributes in the Kafka binary binding."""
    made = [
        (JOB, header.job_id.encode()),
        (RUN, b"%d" % header.run),
        (ATTEMPT, b"%d" % header.attempt),
        (PROCESSOR, header.processor.encode()),
        (CUSTODY, header.custody.encode()),
        ("ce_specversion", b"1.0"),
        ("ce_id", f"{header.job_id}:{header.run}:{header.attempt}".encode()),
        ("ce_type", b"sluice.request.v1"),
        ("ce_source", source.encode()),
    ]
    if header.mode != Mode.LIVE:
        made.append((MODE, header.mode.encode()))
    if header.deadline is not None:
        made.append((DEADLINE, header.deadline.isoformat().encode()))
    if uris := " ".join(claims):
        made.append((CLAIMS, uris.encode()))
    return made


def result_headers(header: JobHeader, disposition: str, execution: int, *, source: str) -> list[Header]:
    """Headers of a result."""
    return [
        (JOB, header.job_id.encode()),
        (RUN, b"%d" % header.run),
        (ATTEMPT, b"%d" % header.attempt),
        (PROCESSOR, header.processor.encode()),
        (DISPOSITION, disposition.encode()),
        (EXECUTION, b"%d" % execution),
        ("ce_specversion", b"1.0"),
        ("ce_id", f"{header.job_id}:{header.run}:{header.attempt}:{execution}".encode()),
        ("ce_type", b"sluice.result.v1"),
        ("ce_source", source.encode()),
    ]


def mode_of(text: bytes | None) -> str:
    """Return the mode that a header names; live without one, and for one that is not known."""
    known = {mode.encode(): mode.value for mode in Mode}
    return known.get(text or b"", Mode.LIVE.value)


def dead_letter_headers(
    *, reason: str, message: str, topic: str, partition: int, offset: int, attempts: int, worker: str
) -> dict[str, bytes]:
    """Headers that a dead letter has besides the record's own: why it was rejected, where it came from, when and by whom."""
    return {
        DL_REASON: reason.encode(),
        DL_MESSAGE: message.encode("utf-8", "replace"),
        DL_TOPIC: topic.encode(),
        DL_PARTITION: b"%d" % partition,
        DL_OFFSET: b"%d" % offset,
        DL_ATTEMPTS: b"%d" % attempts,
        DL_WORKER: worker.encode(),
        DL_AT: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()).encode(),
    }


def contradictions(present: Mapping[str, bytes], header: JobHeader) -> list[str]:
    """Return the names of headers that differ from the Avro value. A missing header contradicts nothing."""
    expected = {
        JOB: header.job_id.encode(),
        RUN: b"%d" % header.run,
        ATTEMPT: b"%d" % header.attempt,
        PROCESSOR: header.processor.encode(),
    }
    if present == expected:
        return []
    return [name for name, value in expected.items() if name in present and present[name] != value]
