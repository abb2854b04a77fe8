"""Kafka headers: a copy of what the engine steers by, so that it need not decode Avro. The Avro value is the authority.

Values are UTF-8 text. A record without them costs one decode, no more.
"""

from __future__ import annotations

from collections.abc import Iterable

from schemas.records import JobHeader

JOB = "sluice-job"
RUN = "sluice-run"
ATTEMPT = "sluice-attempt"
PROCESSOR = "sluice-processor"
DEADLINE = "sluice-deadline"
CUSTODY = "sluice-custody"
CLAIMS = "sluice-claims"
DISPOSITION = "sluice-disposition"
EXECUTION = "sluice-execution"
TRACEPARENT = "traceparent"

# Dead letters say where they come from and why.
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
    """Headers of a request: ours, and CloudEvents' attributes in Kafka's binary binding."""
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


def contradictions(given: dict[str, bytes], header: JobHeader) -> list[str]:
    """Names of the headers that say something else than the Avro value; a header that is absent contradicts nothing."""
    told = {
        JOB: header.job_id.encode(),
        RUN: b"%d" % header.run,
        ATTEMPT: b"%d" % header.attempt,
        PROCESSOR: header.processor.encode(),
    }
    return [name for name, value in told.items() if name in given and given[name] != value]
