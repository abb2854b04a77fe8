"""Selects records: by header, key, job, time, and a JMESPath expression. Decodes only where nothing cheaper answers.

The conditions are tried from the cheapest on. A job is found by its record headers; a value is decoded only for a record that
has none and contains the job's id, or for an expression that reads `value`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from confluent_kafka import Message

from schemas import headers as names
from schemas.errors import UsageError
from streams.admin.records import Headers, LogRecord, RecordDecoder, headers_of, record_json, text_of, time_of

#: Longer expressions are refused: they come over HTTP, too.
LONGEST = 2_000


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


class Expression:
    """A JMESPath expression over {topic, partition, offset, at, key, headers, format, size, value}.

    Raises UsageError for text that is no JMESPath.
    """

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise UsageError(f"The expression has {len(text)} characters; {LONGEST} are allowed.")
        try:
            import jmespath
            from jmespath.exceptions import JMESPathError
        except ImportError as error:
            raise UsageError(
                "Expressions need the package jmespath.", next_step="Install sluice with its extra `store`."
            ) from error
        try:
            self._compiled = jmespath.compile(text)
            _check_functions(self._compiled.parsed)
        except (JMESPathError, RecursionError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise UsageError(
                f"{text!r} is not a JMESPath expression: {reason}.",
                next_step="Write for example: value.header.tenant == 'a' && size > `1000`. Names with a dash stand in double "
                'quotes: headers."sluice-job". https://jmespath.org has the language.',
            ) from error
        self.reads_value = _reads_value(self._compiled.parsed)
        #: Records on which the expression could not be evaluated, and the first reason.
        self.failed = 0
        self.failure: str | None = None

    def search(self, document: dict[str, Any]) -> Any:
        """Return the result; None where it can't be evaluated, for example a function of text on a missing field."""
        try:
            return self._compiled.search(document)
        except (
            TypeError,
            ValueError,
            ArithmeticError,
            AttributeError,
            RecursionError,
        ) as error:  # JMESPath's are ValueErrors
            self.failed += 1
            self.failure = self.failure or (str(error).splitlines() or [type(error).__name__])[0]
            return None


class RecordMatcher:
    """Applies a filter to messages; for one thread. Raises UsageError for an expression that can't be used."""

    def __init__(self, wanted: RecordFilter, decoder: RecordDecoder) -> None:
        self._decoder = decoder
        self._headers = [(name, None if value is None else value.encode()) for name, value in wanted.headers]
        self._key = None if wanted.key is None else wanted.key.encode()
        self._job = wanted.job_id.lower().encode() if wanted.job_id else None
        self._since_ms = None if wanted.since is None else wanted.since.timestamp() * 1000
        self._until_ms = None if wanted.until is None else wanted.until.timestamp() * 1000
        self.expression = None if wanted.where is None else Expression(wanted.where)

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
        if self.expression is None:
            return self._decoder.record(message)
        if not self.expression.reads_value:
            found = self.expression.search(_without_value(message))
            return self._decoder.record(message) if is_true(found) else None
        record = self._decoder.record(message)
        return record if is_true(self.expression.search(record_json(record))) else None

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


def is_true(found: Any) -> bool:
    """Return a result's truth by JMESPath: false, null and everything empty are false; the number 0 is true."""
    return found not in (None, False, "", [], {}) or (found == 0 and type(found) in (int, float))


def _without_value(message: Message) -> dict[str, Any]:
    at = time_of(message)
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "at": None if at is None else at.isoformat(),
        "key": text_of(message.key()),
        "headers": {name: text_of(content) or "" for name, content in headers_of(message)},
        "size": len(message.value() or b""),
    }


def _check_functions(node: Mapping[str, Any]) -> None:
    """Raise UnknownFunctionError now, not at the first record."""
    from jmespath.exceptions import UnknownFunctionError
    from jmespath.functions import Functions

    for each in _nodes(node):
        if each["type"] == "function_expression" and each["value"] not in Functions.FUNCTION_TABLE:
            raise UnknownFunctionError(f"there is no function {each['value']}()")


def _reads_value(node: Mapping[str, Any]) -> bool:
    """True if an expression may read `value` or `format`: by name, by a wildcard, or by taking the whole record."""
    return any(
        each["type"] in ("current", "value_projection", "identity")
        if each["type"] != "field"
        else each["value"] in ("value", "format", "undecodable")
        for each in _nodes(node)
    )


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for child in node.get("children", ()):
        if isinstance(child, dict):
            yield from _nodes(child)


def _names_job(value: Any, job_id: str) -> bool:
    if not isinstance(value, dict):
        return False
    header = value.get("header")
    return value.get("job_id") == job_id or (isinstance(header, dict) and header.get("job_id") == job_id)


def _bytes(content: bytes | str | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content
