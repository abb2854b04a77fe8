"""Kafka records as events. A record that can't be read raises; what that means is the sink's to say."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import Message

from connectors.jsonb import jsonb
from connectors.store import LogPosition
from schemas import headers
from schemas.codec import Codec
from schemas.contract import unknown_processor
from schemas.errors import ErrorCode, InvalidInput, UndecodableRecord
from schemas.plain import to_plain
from schemas.records import ErrorInfo, JobHeader, ResultInfo, Timings
from schemas.states import Disposition, State
from streams.sink.event import UNDECODED, Event, Phase, TerminalResult
from streams.sink.topic_table import SinkTopic, TopicRole, TopicTable
from streams.sink.validate import check, kinds_of

_JOB_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DEFAULTS = to_plain(JobHeader("", "", datetime.fromtimestamp(0, UTC), ""))
_HEADER_KINDS, _INFO_KINDS = kinds_of(JobHeader), kinds_of(ResultInfo)
_TIMING_KINDS, _ERROR_KINDS = kinds_of(Timings), kinds_of(ErrorInfo)
_ENDS = {
    Disposition.SUCCEEDED: State.COMPLETED,
    Disposition.FAILED: State.FAILED,
    Disposition.CANCELLED: State.CANCELLED,
}
#: A little more than requests are held back for (held.py).
NEAR = timedelta(seconds=1.5)

Plain = Mapping[str, Any]


class EventDecoder:
    """Reads with one table of topics; give it another when topics appear."""

    def __init__(self, codec: Codec, table: TopicTable) -> None:
        self._codec = codec
        self.table = table
        self._read: dict[TopicRole, Callable[[Message, SinkTopic, LogPosition], Event | None]] = {
            TopicRole.REQUESTS: self._request,
            TopicRole.LEASED_REQUESTS: self._leased_request,
            TopicRole.FOREIGN_REQUESTS: self._foreign_request,
            TopicRole.UNKNOWN_REQUESTS: self._unknown_request,
            TopicRole.RESULTS: self._result,
            TopicRole.DEAD_LETTERS: self._dead_letter,
        }

    def read(self, message: Message) -> Event | None:
        """The event in a record; None for one that no job can be found for and that somebody else takes care of.

        Raises UndecodableRecord for a record that nobody can use, and Unreachable when its schema can't be fetched now.
        """
        topic = self.table.topics[message.topic() or ""]
        place = LogPosition(topic.topic_id, message.partition() or 0, message.offset() or 0)
        return self._read[topic.part](message, topic, place)

    def open(self, event: Event) -> Event | None:
        """A sealed request, decoded. Raises Unreachable."""
        topic = self.table.topics[event.message.topic() or ""]
        return self._decoded_request(event.message, topic, event.place)

    def _request(self, message: Message, topic: SinkTopic, place: LogPosition) -> Event | None:
        return _sealed(message, place) or self._decoded_request(message, topic, place)

    def _decoded_request(self, message: Message, topic: SinkTopic, place: LogPosition) -> Event | None:
        try:
            header = _header(self._codec.decode(message.value() or b""))
            job_id = job_bytes(header["job_id"])
        except UndecodableRecord:
            # The worker dead-letters it and lets its job fail; here the job becomes visible, if the headers name it.
            told = _told_header(message, topic.processor)
            if told is None:
                return None
            header, job_id = told, job_bytes(told["job_id"])
        return _event(message, place, header, job_id, Phase.REQUESTED, "request", request_place=place)

    def _leased_request(self, message: Message, topic: SinkTopic, place: LogPosition) -> Event | None:
        """Not sealed: it is stored at once, so that somebody can claim it."""
        event = self._decoded_request(message, topic, place)
        if event is None:
            raise UndecodableRecord("The record is no request, and its headers name no job.")
        return event._replace(leased=True)

    def _foreign_request(self, message: Message, topic: SinkTopic, place: LogPosition) -> Event | None:
        told = dict(message.headers() or ())
        read = self._leased_request if told.get(headers.CUSTODY) == b"lease" else self._request
        return read(message, topic, place)

    def _unknown_request(self, message: Message, topic: SinkTopic, place: LogPosition) -> Event | None:
        event = self._decoded_request(message, topic, place)
        if event is None:
            return None
        error = unknown_processor(topic.processor)
        ending = TerminalResult(State.FAILED, {"code": str(error.code), "message": str(error)})
        return event._replace(phase=Phase.ENDED, ending=ending)

    def _result(self, message: Message, topic: SinkTopic, place: LogPosition) -> Event:
        value = message.value() or b""
        plain = self._codec.decode(value)
        header = _header(plain)
        try:
            info = plain["result"]
            check(info, _INFO_KINDS, "result")
            check(info["timings"], _TIMING_KINDS, "timings")
            if info["error"] is not None:
                check(info["error"], _ERROR_KINDS, "error")
            disposition = Disposition(info["disposition"])
            retries = disposition is Disposition.RETRY
            ending = None if retries else _ending(disposition, info, plain.get("output"), value)
            return _event(
                message,
                place,
                header,
                job_bytes(header["job_id"]),
                Phase.RETRYING if retries else Phase.ENDED,
                "retry" if retries else "result",
                execution=info["execution"],
                sequence=info["sequence"],
                request_place=self.table.place(info["request_coordinates"]),
                owner=info["worker_id"],
                retry_in_ms=info["retry_in_ms"] or 0 if retries else None,
                ending=ending,
            )
        except (KeyError, TypeError, AttributeError, ValueError, InvalidInput) as error:
            raise UndecodableRecord(f"The record is no result: {type(error).__name__}: {error}.") from error

    def _dead_letter(self, message: Message, topic: SinkTopic, place: LogPosition) -> Event | None:
        told = dict(message.headers() or [])
        origin = _text(told.get(headers.DL_TOPIC))
        source = self.table.topics.get(origin)
        header = self._header_of_dead(message, source.processor if source else "")
        if header is None:
            return None
        event = _event(message, place, header, job_bytes(header["job_id"]), Phase.NOTED, "dead_letter")
        if source is None or source.part is not TopicRole.RESULTS:
            return event  # a worker's: it has published a failed result as well
        code = _text(told.get(headers.DL_REASON)) or str(ErrorCode.UNDECODABLE)
        error = {"code": code, "message": _text(told.get(headers.DL_MESSAGE)) or "Its result could not be stored."}
        return event._replace(phase=Phase.ENDED, ending=TerminalResult(State.FAILED, error))

    def _header_of_dead(self, message: Message, processor: str) -> Plain | None:
        try:
            header = _header(self._codec.decode(message.value() or b""))
            job_bytes(header["job_id"])
        except UndecodableRecord:
            return _told_header(message, processor)
        return header


def job_bytes(job_id: str) -> bytes:
    """A job id as 16 bytes. Raises UndecodableRecord unless it is a UUID in canonical form."""
    if _JOB_ID.fullmatch(job_id) is None:
        raise UndecodableRecord(f"The job id {job_id[:60]!r} is no UUID in canonical form.")
    return bytes.fromhex(job_id.replace("-", ""))


def _header(plain: Plain) -> Plain:
    header = plain.get("header")
    if not isinstance(header, dict) or "job_id" not in header:
        raise UndecodableRecord("The record has no job header.")
    check(header, _HEADER_KINDS, "job header")
    # An older writer may lack fields that were added since; each has a default.
    return header if len(header) == len(_DEFAULTS) else {**_DEFAULTS, **header}


def _told_header(message: Message, processor: str) -> Plain | None:
    """As much of a header as Kafka's headers tell; None without a usable job id."""
    told = dict(message.headers() or [])
    job_id = _text(told.get(headers.JOB))
    if _JOB_ID.fullmatch(job_id) is None:
        return None
    return {
        **_DEFAULTS,
        "job_id": job_id,
        "run": _number(told.get(headers.RUN), 0),
        "attempt": _number(told.get(headers.ATTEMPT), 1),
        "processor": _text(told.get(headers.PROCESSOR)) or processor,
        "created_at": _at(message),
    }


def _sealed(message: Message, place: LogPosition) -> Event | None:
    """A request by what its Kafka headers tell, not decoded; None when they do not tell enough."""
    told = dict(message.headers() or ())
    if headers.DEADLINE in told and is_near(_text(told[headers.DEADLINE])):
        return None  # it may not be held back, and so there will be nothing to lend it its header
    try:
        job_id, run, attempt = (
            _text(told[headers.JOB]),
            int(_text(told[headers.RUN])),
            int(_text(told[headers.ATTEMPT])),
        )
    except (KeyError, ValueError):
        return None
    if _JOB_ID.fullmatch(job_id) is None or not (0 <= run < 2**31 and 0 <= attempt < 2**31):
        return None
    key = bytes.fromhex(job_id.replace("-", ""))
    at = _at(message)
    return Event(key, run, attempt, 0, 0, Phase.REQUESTED, "request", place, at, UNDECODED, message, place)


def is_near(deadline: datetime | str | None) -> bool:
    """Whether a deadline, if there is one, passes so soon that the request must be stored at once to be ended in time."""
    try:
        at = datetime.fromisoformat(deadline) if isinstance(deadline, str) else deadline
        return at is not None and at < datetime.now(UTC) + NEAR
    except (ValueError, TypeError):
        return False


def _ending(disposition: Disposition, info: Plain, output: Any, value: bytes) -> TerminalResult:
    error, timings, refs = info["error"], info["timings"], info["output_refs"]
    state = _ENDS.get(disposition)
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
        timings["started_at"],
        timings["finished_at"],
        timings["run_ms"],
        output,
        refs,
        value,
    )


def _event(
    message: Message, place: LogPosition, header: Plain, job_id: bytes, phase: Phase, kind: str, **more: Any
) -> Event:
    more.setdefault("execution", 0)
    more.setdefault("sequence", 0)
    return Event(
        job_id=job_id,
        run=header["run"],
        attempt=header["attempt"],
        phase=phase,
        kind=kind,
        place=place,
        at=_at(message),
        header=header,
        message=message,
        **more,
    )


def _at(message: Message) -> datetime:
    return datetime.fromtimestamp(max(0, message.timestamp()[1]) / 1000, UTC)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _number(value: Any, default: int) -> int:
    try:
        return min(max(int(value), 0), 2**31 - 1)
    except (TypeError, ValueError):
        return default
