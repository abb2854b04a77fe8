"""Decodes Kafka records to events. Raises for a record that can't be decoded; the callers decide what happens to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import Message

from connectors.jsonb import jsonb
from connectors.sink_store import LogPosition
from schemas import headers
from schemas.codec import Codec, schema_id_of
from schemas.contract import unknown_processor
from schemas.errors import ErrorCode, InvalidInput, UndecodableRecord
from schemas.plain import to_plain
from schemas.records import JobHeader
from schemas.states import Disposition, State
from schemas.topics import LONGEST_WAIT
from streams.sink.event import UNDECODED, Event, Phase, TerminalResult
from streams.sink.event_buffer import FAST_HOLD_S
from streams.sink.record_types import Guarantees, check_header, check_result, guarantees
from streams.sink.topic_table import SinkTopic, TopicRole, TopicTable

_JOB_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DEFAULTS = to_plain(JobHeader("", "", datetime.fromtimestamp(0, UTC), ""))
_STATES = {
    Disposition.SUCCEEDED: State.COMPLETED,
    Disposition.FAILED: State.FAILED,
    Disposition.CANCELLED: State.CANCELLED,
}
#: A foreign producer may write any number: a run that waited longer would not find its request in the log any more.
LONGEST_WAIT_MS = LONGEST_WAIT // timedelta(milliseconds=1)
#: A deadline nearer than this is urgent. A little longer than requests are held: else it could pass while its request is held.
NEAR = timedelta(seconds=FAST_HOLD_S + 0.5)

Plain = Mapping[str, Any]


class EventDecoder:
    """Decodes with one table of topics. Set `table` to another one when topics are created."""

    def __init__(self, codec: Codec, table: TopicTable) -> None:
        self._codec = codec
        self.table = table
        self._guarantees: dict[int, Guarantees] = {}
        self._by_role: dict[TopicRole, Callable[[Message, SinkTopic, LogPosition], Event | None]] = {
            TopicRole.REQUESTS: self._request,
            TopicRole.LEASED_REQUESTS: self._leased_request,
            TopicRole.FOREIGN_REQUESTS: self._foreign_request,
            TopicRole.UNKNOWN_REQUESTS: self._unknown_request,
            TopicRole.RESULTS: self._result,
            TopicRole.DEAD_LETTERS: self._dead_letter,
        }

    def decode(self, message: Message) -> Event | None:
        """Return the record's event; None if no job can be found for it and another component handles it.

        Raises UndecodableRecord for a record that no component can use, Unreachable if its schema can't be fetched now.
        """
        topic = self.table.topics[message.topic() or ""]
        position = LogPosition(topic.topic_id, message.partition() or 0, message.offset() or 0)
        return self._by_role[topic.role](message, topic, position)

    def decode_request(self, event: Event) -> Event | None:
        """Decode a request that `decode` left undecoded. Raises Unreachable."""
        topic = self.table.topics[event.message.topic() or ""]
        return self._decoded_request(event.message, topic, event.position)

    def _request(self, message: Message, topic: SinkTopic, position: LogPosition) -> Event | None:
        return _undecoded_request(message, position) or self._decoded_request(message, topic, position)

    def _decoded_request(self, message: Message, topic: SinkTopic, position: LogPosition) -> Event | None:
        try:
            header = self._header(message.value() or b"")
            job_id = job_bytes(header["job_id"])
        except UndecodableRecord:
            # The worker dead-letters the record and fails its job. Store the job, if the Kafka headers name it.
            by_headers = _header_from_kafka(message, topic.processor)
            if by_headers is None:
                return None
            header, job_id = by_headers, job_bytes(by_headers["job_id"])
        return _event(message, position, header, job_id, Phase.REQUESTED, "request", request_position=position)

    def _leased_request(self, message: Message, topic: SinkTopic, position: LogPosition) -> Event | None:
        """Decode at once: the request is stored without delay, so that a worker can claim it."""
        event = self._decoded_request(message, topic, position)
        if event is None:
            raise UndecodableRecord("The record is not a request, and its headers do not name a job.")
        return event._replace(leased=True)

    def _foreign_request(self, message: Message, topic: SinkTopic, position: LogPosition) -> Event | None:
        leased = dict(message.headers() or ()).get(headers.CUSTODY) == b"lease"
        return (self._leased_request if leased else self._request)(message, topic, position)

    def _unknown_request(self, message: Message, topic: SinkTopic, position: LogPosition) -> Event | None:
        event = self._decoded_request(message, topic, position)
        if event is None:
            return None
        error = unknown_processor(topic.processor)
        terminal = TerminalResult(State.FAILED, {"code": str(error.code), "message": str(error)})
        return event._replace(phase=Phase.ENDED, terminal=terminal)

    def _result(self, message: Message, topic: SinkTopic, position: LogPosition) -> Event:
        value = message.value() or b""
        plain = self._codec.decode(value)
        guaranteed = self._guaranteed(value)
        header = _header(plain, guaranteed)
        try:
            info = plain["result"]
            if not guaranteed.result:
                check_result(info)
            disposition = Disposition(info["disposition"])
            retries = disposition is Disposition.RETRY
            terminal = None if retries else _terminal(disposition, info, plain.get("output"), value)
            return _event(
                message,
                position,
                header,
                job_bytes(header["job_id"]),
                Phase.RETRYING if retries else Phase.ENDED,
                "retry" if retries else "result",
                execution=info["execution"],
                sequence=info["sequence"],
                request_position=self.table.position(info["request_coordinates"]),
                owner=info["worker_id"],
                retry_in_ms=min(max(info["retry_in_ms"] or 0, 0), LONGEST_WAIT_MS) if retries else None,
                terminal=terminal,
            )
        except (KeyError, TypeError, AttributeError, ValueError, InvalidInput) as error:
            raise UndecodableRecord(f"The record is not a result: {type(error).__name__}: {error}.") from error

    def _dead_letter(self, message: Message, topic: SinkTopic, position: LogPosition) -> Event | None:
        kafka_headers = dict(message.headers() or [])
        source = self.table.topics.get(_text(kafka_headers.get(headers.DL_TOPIC)))
        header = self._dead_letter_header(message, source.processor if source else "")
        if header is None:
            return None
        event = _event(message, position, header, job_bytes(header["job_id"]), Phase.NOTED, "dead_letter")
        if source is None or source.role is not TopicRole.RESULTS:
            return event  # a worker's dead letter: the worker has published a failed result as well
        code = _text(kafka_headers.get(headers.DL_REASON)) or str(ErrorCode.UNDECODABLE)
        text = _text(kafka_headers.get(headers.DL_MESSAGE)) or "The job's result could not be stored."
        return event._replace(phase=Phase.ENDED, terminal=TerminalResult(State.FAILED, {"code": code, "message": text}))

    def _dead_letter_header(self, message: Message, processor: str) -> Plain | None:
        try:
            header = self._header(message.value() or b"")
            job_bytes(header["job_id"])
        except UndecodableRecord:
            return _header_from_kafka(message, processor)
        return header

    def _header(self, value: bytes) -> Plain:
        return _header(self._codec.decode(value), self._guaranteed(value))

    def _guaranteed(self, value: bytes) -> Guarantees:
        """Return what the schema of a decoded record guarantees."""
        schema_id = schema_id_of(value)
        known = self._guarantees.get(schema_id)
        if known is None:
            known = self._guarantees[schema_id] = guarantees(self._codec.schema_of(value))
        return known


def job_bytes(job_id: str) -> bytes:
    """Return a job id as 16 bytes. Raises UndecodableRecord unless it is a UUID in canonical form."""
    if _JOB_ID.fullmatch(job_id) is None:
        raise UndecodableRecord(f"The job id {job_id[:60]!r} is not a UUID in canonical form.")
    return bytes.fromhex(job_id.replace("-", ""))


def _header(plain: Plain, guaranteed: Guarantees) -> Plain:
    header = plain.get("header")
    if not isinstance(header, dict) or "job_id" not in header:
        raise UndecodableRecord("The record has no job header.")
    if not guaranteed.header:
        check_header(header)
    # A record of an older version may lack fields that were added since; each of them has a default.
    return header if header.keys() == _DEFAULTS.keys() else {**_DEFAULTS, **header}


def _header_from_kafka(message: Message, processor: str) -> Plain | None:
    """Build a job header from the Kafka headers, with defaults for the rest; None without a usable job id."""
    kafka_headers = dict(message.headers() or [])
    job_id = _text(kafka_headers.get(headers.JOB))
    if _JOB_ID.fullmatch(job_id) is None:
        return None
    return {
        **_DEFAULTS,
        "job_id": job_id,
        "run": _number(kafka_headers.get(headers.RUN), 0),
        "attempt": _number(kafka_headers.get(headers.ATTEMPT), 1),
        "processor": _text(kafka_headers.get(headers.PROCESSOR)) or processor,
        "created_at": _at(message),
        "mode": headers.mode_of(_bytes(kafka_headers.get(headers.MODE))),
    }


def _undecoded_request(message: Message, position: LogPosition) -> Event | None:
    """Return a request by its Kafka headers alone; None if they lack something or its deadline is near."""
    kafka_headers = dict(message.headers() or ())
    if headers.DEADLINE in kafka_headers and is_near(_text(kafka_headers[headers.DEADLINE])):
        return None  # it must be stored at once, before any result could supply its header
    try:
        job_id = _text(kafka_headers[headers.JOB])
        run, attempt = int(_text(kafka_headers[headers.RUN])), int(_text(kafka_headers[headers.ATTEMPT]))
    except (KeyError, ValueError):
        return None
    if _JOB_ID.fullmatch(job_id) is None or not (0 <= run < 2**31 and 0 <= attempt < 2**31):
        return None
    key = bytes.fromhex(job_id.replace("-", ""))
    at = _at(message)
    return Event(key, run, attempt, 0, 0, Phase.REQUESTED, "request", position, at, UNDECODED, message, position)


def is_near(deadline: datetime | str | None) -> bool:
    """True if the deadline is so near that the request must be stored at once to expire in time."""
    try:
        at = datetime.fromisoformat(deadline) if isinstance(deadline, str) else deadline
        return at is not None and at < datetime.now(UTC) + NEAR
    except (ValueError, TypeError):
        return False


def _terminal(disposition: Disposition, info: Plain, output: Any, value: bytes) -> TerminalResult:
    error, timings, refs = info["error"], info["timings"], info["output_refs"]
    state = _STATES.get(disposition)
    if state is None:
        raise UndecodableRecord(f"The disposition {info['disposition']!r} is not known to this version.")
    if state is State.FAILED and error and error["code"] == ErrorCode.DEADLINE_EXCEEDED:
        state = State.EXPIRED
    return TerminalResult(
        state,
        error,
        None if output is None else jsonb(output),
        jsonb(refs) if refs else None,
        info["device"],
        info.get("device_note"),
        info["model_version"],
        info["model_sha256"],
        info["code_version"] or None,
        info.get("reused_from"),
        timings["started_at"],
        timings["finished_at"],
        timings["run_ms"],
        output,
        refs,
        value,
    )


def _event(
    message: Message, position: LogPosition, header: Plain, job_id: bytes, phase: Phase, kind: str, **more: Any
) -> Event:
    more.setdefault("execution", 0)
    more.setdefault("sequence", 0)
    return Event(
        job_id=job_id,
        run=header["run"],
        attempt=header["attempt"],
        phase=phase,
        kind=kind,
        position=position,
        at=_at(message),
        header=header,
        message=message,
        **more,
    )


def _at(message: Message) -> datetime:
    return datetime.fromtimestamp(max(0, message.timestamp()[1]) / 1000, UTC)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _bytes(value: Any) -> bytes | None:
    return value if isinstance(value, bytes) else None


def _number(value: Any, default: int) -> int:
    try:
        return min(max(int(value), 0), 2**31 - 1)
    except (TypeError, ValueError):
        return default
