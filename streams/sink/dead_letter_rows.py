"""Makes the row of a dead letter from its headers. Never raises: a record from outside may have any header."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Message

from connectors.dead_letter_store import LONGEST_TEXT, DeadLetterRow, fingerprint_of, summary_of
from connectors.sink_store import LogPosition
from schemas import headers
from schemas.errors import ErrorCode
from streams.sink.event import Event
from streams.sink.topic_table import TopicTable

_INT4, _INT8 = 2**31 - 1, 2**63 - 1


def dead_letter_row(message: Message, position: LogPosition, event: Event | None, table: TopicTable) -> DeadLetterRow:
    """Return the row of a record of `dead-letters`. `event`: None if neither its value nor its headers name a job."""
    fields = dict(message.headers() or ())
    reason = _text(fields.get(headers.DL_REASON)) or str(ErrorCode.UNKNOWN)
    summary = summary_of(_text(fields.get(headers.DL_MESSAGE)))
    origin = _text(fields.get(headers.DL_TOPIC))
    known = table.topics.get(origin)
    named = (known.processor if known else "") or _text(fields.get(headers.PROCESSOR))
    value = message.value()
    return DeadLetterRow(
        *position,
        at=_at(message),
        reason=reason,
        fingerprint=fingerprint_of(reason, origin, summary),
        summary=summary,
        processor=named or ("" if event is None else str(event.header["processor"])[:LONGEST_TEXT]),
        origin_topic=origin,
        origin_partition=_number(fields.get(headers.DL_PARTITION), 0, _INT4),
        origin_offset=_number(fields.get(headers.DL_OFFSET), -1, _INT8),
        job_id=None if event is None else event.job_id,
        run=None if event is None else min(max(event.run, 0), _INT4),
        bytes=None if value is None else len(value),
        attempts=_number(fields.get(headers.DL_ATTEMPTS), 1, _INT4),
        worker=_text(fields.get(headers.DL_WORKER)),
    )


def _at(message: Message) -> datetime:
    try:
        return datetime.fromtimestamp(max(0, message.timestamp()[1]) / 1000, UTC)
    except (ValueError, OverflowError, OSError):  # a time that no producer's clock shows
        return datetime.now(UTC)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace")[:LONGEST_TEXT] if isinstance(value, bytes) else ""


def _number(value: Any, default: int, largest: int) -> int:
    try:
        return min(max(int(value), -1), largest)
    except (TypeError, ValueError):
        return default
