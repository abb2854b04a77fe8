"""Selects records: by header, key, job, time, and a JMESPath expression. Decodes only where nothing cheaper answers.

The conditions are tried from the cheapest on. A job is found by its record headers; a value is decoded only for a record that
has none and contains the job's id, or for an expression that reads `value`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from confluent_kafka import Message

from schemas import headers as names
from schemas.errors import UsageError
from streams.admin.records import Headers, LogRecord, RecordDecoder, headers_of

if TYPE_CHECKING:
    from streams.admin.expression import Expression


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Conditions, all of which must hold. `headers`: (name, value); a value of None: the header is there, with any value.

    `since` (inclusive) and `until` (exclusive): of the record's timestamp.
    """

    headers: Sequence[tuple[str, str | None]] = ()
    key: str | None = None
    job_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    where: str | None = None

    @property
    def selects(self) -> bool:
        """True if a record's contents matter, not only its time."""
        return bool(self.headers or self.key is not None or self.job_id or self.where)


def expression(text: str) -> Expression:
    """Return a JMESPath expression over records. Raises UsageError for text that is none, or without the package."""
    try:
        from streams.admin.expression import Expression
    except ImportError as error:
        raise UsageError(
            "Expressions need the package jmespath.", next_step="Install sluice with its extra `store`."
        ) from error
    return Expression(text)


class RecordMatcher:
    """Applies a filter to messages; for one thread. Raises UsageError for an expression that can't be used."""

    def __init__(self, wanted: RecordFilter, decoder: RecordDecoder) -> None:
        self._decoder = decoder
        self._headers = [(name, None if value is None else value.encode()) for name, value in wanted.headers]
        self._key = None if wanted.key is None else wanted.key.encode()
        self._job = wanted.job_id.lower().encode() if wanted.job_id else None
        self._since_ms = None if wanted.since is None else wanted.since.timestamp() * 1000
        self._until_ms = None if wanted.until is None else wanted.until.timestamp() * 1000
        self.expression = None if wanted.where is None else expression(wanted.where)

    def match(self, message: Message) -> LogRecord | None:
        """Return the message as a record if all conditions hold, else None."""
        if not self._in_time(message):
            return None
        if self._key is not None and _bytes(message.key()) != self._key:
            return None
        if self._headers or self._job:
            headers = headers_of(message)
            if self._headers and not self._has_headers(headers):
                return None
            if self._job and not self._is_of_job(message, headers):
                return None
        if self.expression is not None and not self.expression.holds(message, self._decoder):
            return None
        return self._decoder.record(message)

    def _in_time(self, message: Message) -> bool:
        if self._since_ms is None and self._until_ms is None:
            return True
        millis = message.timestamp()[1]
        return (self._since_ms is None or millis >= self._since_ms) and (
            self._until_ms is None or millis < self._until_ms
        )

    def _has_headers(self, headers: Headers) -> bool:
        return all(
            any(name == there and (value is None or _bytes(content) == value) for there, content in headers)
            for name, value in self._headers
        )

    def _is_of_job(self, message: Message, headers: Headers) -> bool:
        job = self._job or b""
        for name, content in headers:
            if name == names.JOB:
                return _bytes(content) == job
        key = _bytes(message.key()) or b""
        if key == job or key.startswith((job + b":", b"job:" + job + b":")):
            return True
        raw = message.value()
        if raw is None or job not in raw:  # Avro and JSON both hold a text as its plain bytes
            return False
        value, form, _ = self._decoder.value(raw)
        return form == "bytes" or _names_job(value, job.decode())


def _names_job(value: Any, job_id: str) -> bool:
    if not isinstance(value, dict):
        return False
    header = value.get("header")
    return value.get("job_id") == job_id or (isinstance(header, dict) and header.get("job_id") == job_id)


def _bytes(content: bytes | str | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content
