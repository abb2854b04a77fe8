"""Jobs by their records in the log: a topic, a partition, a range of offsets. Joins no group and commits nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from confluent_kafka import KafkaException, TopicCollection

from connectors.replay_store import REQUEST, ReplaySource
from connectors.sink_store import LogPosition
from schemas import headers
from schemas.errors import UsageError
from schemas.ids import is_job_id
from schemas.states import Mode
from streams.admin.log_range import Span
from streams.admin.records import LogRecord
from streams.admin.scan import Scan
from streams.admin.tail import TopicReader
from streams.log import kafka
from streams.log.topic_ids import uuid_bytes
from streams.settings import Settings

ASK_S = 10.0


class LogSelection(NamedTuple):
    """The jobs of a range, in its order. `nameless`: records that name no job. `gone`: why the range is not complete.
    `shadows`: records of shadow runs, which are left out: the version that they ran is not the job's."""

    sources: list[ReplaySource]
    nameless: int
    gone: str | None
    shadows: int = 0

    @property
    def job_ids(self) -> list[str]:
        return list(dict.fromkeys(str(one.job_id) for one in self.sources))


def jobs_in_log(
    settings: Settings, topic: str, span: Span, on_batch: Callable[[Scan], None] = lambda _: None
) -> LogSelection:
    """Read the range up to now. Raises NotFound, UsageError, Unreachable."""
    sources, nameless, shadows = [], 0, 0
    with TopicReader(settings, topic, span=span) as reader:
        topic_id = _topic_id(settings, topic)
        scan = Scan(reader.range.total)
        for record in reader.scan(scan, on_batch):
            if _is_shadow(record):
                shadows += 1
                continue
            job_id, run = _job_of(record)
            if job_id is None:
                nameless += 1
                continue
            position = LogPosition(topic_id, record.partition, record.offset)
            sources.append(ReplaySource(REQUEST, job_id, run, position))
    return LogSelection(sources, nameless, scan.partial, shadows)


def holds_requests(settings: Settings, topic: str) -> bool:
    """True for a topic of requests; False for one of results or outcomes. Raises UsageError for any other."""
    processor = settings.topics.processor_of(topic)
    if processor is None:
        raise UsageError(
            f"The records of {topic[:60]!r} name no jobs.",
            next_step="Select a topic of requests, results or outcomes; dead letters are redriven by `sluice dlq redrive`.",
        )
    return topic.removesuffix(".bulk") == settings.topics.requests(processor)


def _topic_id(settings: Settings, topic: str) -> bytes:
    try:
        described = kafka.admin(settings).describe_topics(TopicCollection([topic]), request_timeout=ASK_S)
        return uuid_bytes(described[topic].result(ASK_S).topic_id)
    except KafkaException as error:
        raise kafka.translate(error, f"looking for the topic {topic}") from error


def _is_shadow(record: LogRecord) -> bool:
    """True if the Kafka headers or the value name the mode."""
    header = record.value.get("header") if isinstance(record.value, dict) else None
    said = header.get("mode") if isinstance(header, dict) else None
    return Mode.SHADOW in (said, record.headers.get(headers.MODE))


def _job_of(record: LogRecord) -> tuple[str | None, int]:
    """Return the job and run that a record names, by its Kafka headers or else by its value."""
    header = record.value.get("header") if isinstance(record.value, dict) else None
    said = header if isinstance(header, dict) else {}
    job_id, run = (
        record.headers.get(headers.JOB) or said.get("job_id"),
        record.headers.get(headers.RUN) or said.get("run"),
    )
    if not isinstance(job_id, str) or not is_job_id(job_id):
        return None, 0
    try:
        return job_id, int(run or 0)
    except (TypeError, ValueError):
        return job_id, 0
