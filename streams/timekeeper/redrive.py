"""Decides what a redrive of a dead letter publishes. Pure, so that a dry run says what the timekeeper will do.

    the store knows its job ─▶ the job's next run, through the bulk lane
    it does not             ─▶ the record as it was, to the topic that it came from

A record that still can't be used is refused with the reason, unless an edit replaces its input as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from confluent_kafka import Message

from connectors.replay_store import JobFields, Replay
from schemas import headers
from schemas.codec import Codec, Encoder
from schemas.contract import AnyContract, contract
from schemas.envelope import header_of, request_of
from schemas.errors import Conflict, HeaderMismatch, NotFound, UndecodableRecord, UnknownProcessor, UnknownSchema
from schemas.ids import derived_id, is_job_id
from schemas.plain import to_plain
from schemas.records import Coordinates, JobHeader
from schemas.states import Lane
from schemas.topics import TopicNames
from streams.timekeeper.replayed import edited_input, replayed_header, replayed_headers

Plain = dict[str, Any]

#: Sets jobs that get their id from the place of a dead letter apart from those with an idempotency key.
KEY_SPACE = "dead-letter"
NO_VALUE = "It was published without its value, and its original is no longer in the log."


class Letter(NamedTuple):
    """A record of `dead-letters`. `headers`: the original record's; `reasons`: those that the dead letter has besides them.
    `value`: None if it was published without it, and its original is gone."""

    place: Coordinates
    at: datetime
    key: bytes | None
    value: bytes | None
    headers: dict[str, Any]
    reasons: dict[str, str]

    @property
    def origin(self) -> Coordinates | None:
        """Return where the original is, or was; None if the dead letter does not say so."""
        try:
            topic, partition, offset = (self.reasons[name] for name in _ORIGIN)
            found = Coordinates(topic, int(partition), int(offset))
        except (KeyError, ValueError):
            return None
        # The headers come from outside: numbers that Kafka can't have would fail the call that reads the record.
        possible = 0 <= found.partition < 2**31 and 0 <= found.offset < 2**63
        return found if found.topic and possible else None


_ORIGIN = (headers.DL_TOPIC, headers.DL_PARTITION, headers.DL_OFFSET)


class Outgoing(NamedTuple):
    """A record to publish. `job_id` and `run`: None if the record goes back as it was."""

    topic: str
    key: bytes | None
    value: bytes
    headers: dict[str, Any]
    job_id: str | None = None
    run: int | None = None


def letter_of(message: Message) -> Letter:
    """Return a record of `dead-letters`, taken apart."""
    place = Coordinates(message.topic() or "", message.partition() or 0, message.offset() or 0)
    at = datetime.fromtimestamp(max(0, message.timestamp()[1]) / 1000, UTC)
    return letter_of_record(place, at, message.key(), message.value(), dict(message.headers() or ()))


def letter_of_record(
    place: Coordinates, at: datetime, key: bytes | None, value: bytes | None, fields: Mapping[str, Any]
) -> Letter:
    """Do as `letter_of` with the parts of the record."""
    reasons = {name: _text(value) for name, value in fields.items() if name.startswith(headers.DL_PREFIX)}
    kept = {name: value for name, value in fields.items() if name not in reasons}
    return Letter(place, at, key, value, kept, reasons)


class Redriver:
    """`encoder`: returns the encoder of a processor's requests; it raises UnknownProcessor, UnknownSchema, Unreachable."""

    def __init__(self, codec: Codec, names: TopicNames, encoder: Callable[[str], Encoder]) -> None:
        self._codec = codec
        self._names = names
        self._encoder = encoder

    def outgoing(
        self,
        letter: Letter,
        replay: Replay,
        job_id: str | None,
        run: int | None,
        at: datetime,
        stored: JobFields | None = None,
    ) -> Outgoing:
        """Return the record to publish. `job_id` and `run`: of the new run, `stored`: the job's own fields; None if the store
        does not know the job.

        Raises SluiceError with the reason for a record that can't be redriven, and Unreachable.
        """
        topic = letter.reasons.get(headers.DL_TOPIC, "")
        if not letter.value and replay.edit is None:
            raise NotFound(NO_VALUE)
        if topic == self._names.uploads:
            self._codec.decode(letter.value or b"")
            return self._back(letter, topic, replay)
        processor = self._names.processor_of(topic)
        if processor is None or topic not in (self._names.requests(processor, lane) for lane in Lane):
            raise Conflict(*_no_request(topic, processor))
        if run is None and replay.edit is None:
            self._check(letter, processor)
            return self._back(letter, topic, replay)
        return self._next_run(letter, processor, replay, job_id, run, at, stored)

    def _back(self, letter: Letter, topic: str, replay: Replay) -> Outgoing:
        provenance = {headers.REPLAY: replay.replay_id.encode()}
        return Outgoing(topic, letter.key, letter.value or b"", {**letter.headers, **provenance})

    def _check(self, letter: Letter, processor: str) -> None:
        """Raise what the worker would answer to this record."""
        header = header_of(self._request(letter, contract(processor)))
        wrong = headers.contradictions(letter.headers, header)
        if wrong:
            raise HeaderMismatch(f"The Kafka headers {', '.join(wrong)} contradict the record.")

    def _request(self, letter: Letter, made: AnyContract) -> Plain:
        """Return the decoded request. Raises UndecodableRecord, UnknownSchema, UnknownProcessor, Unreachable."""
        encoder = self._encoder(made.name)
        plain = self._codec.decode(letter.value or b"", encoder.parsed)
        header = request_of(made, plain).header
        if not is_job_id(header.job_id):
            raise UndecodableRecord("The record's job_id is no UUID in its canonical form.")
        if header.processor != made.name:
            raise UnknownProcessor(f"The record came through the topic of {made.name!r} but names another processor.")
        return plain

    def _next_run(
        self,
        letter: Letter,
        processor: str,
        replay: Replay,
        job_id: str | None,
        run: int | None,
        at: datetime,
        stored: JobFields | None,
    ) -> Outgoing:
        made, encoder = contract(processor), self._encoder(processor)
        try:
            plain = self._request(letter, made)
        except (UndecodableRecord, UnknownSchema):
            if replay.edit is None:
                raise
            # The edit starts from nothing, so it fits only if it replaces the input as a whole (path "").
            plain = {"header": to_plain(_header_from_headers(letter, processor, job_id, stored)), "input": None}
        if job_id not in (None, plain["header"]["job_id"]):
            raise HeaderMismatch("The record is of another job than the Kafka headers said.")
        number = plain["header"]["run"] if run is None else run
        header = replayed_header(plain["header"], replay, number, at, letter.origin, stored)
        if replay.edit is not None:
            edited, header["input_sha256"] = edited_input(plain["input"], replay, made, encoder)
            plain = {**plain, "input": edited}
        value = encoder.encode({**plain, "header": header})
        fields = replayed_headers(letter.headers, header, edited=replay.edit is not None)
        topic, key = self._names.requests(processor, Lane.BULK), letter.key or header["job_id"].encode()
        return Outgoing(topic, key, value, fields, header["job_id"], number)


def _header_from_headers(letter: Letter, processor: str, job_id: str | None, stored: JobFields | None) -> JobHeader:
    """Return the header of a record that can't be read: of the job that the Kafka headers name, with its stored fields, else of
    a job with an id that is the same each time."""
    named = _text(letter.headers.get(headers.JOB))
    place = f"{letter.place.topic}[{letter.place.partition}]@{letter.place.offset}"
    found = job_id or (named if is_job_id(named) else derived_id("default", processor, place, KEY_SPACE))
    return JobHeader(found, processor, letter.at, "") if stored is None else stored.header(found, processor)


def _no_request(topic: str, processor: str | None) -> tuple[str]:
    if not topic:
        return ("It does not say where it came from.",)
    if processor is None:
        return (f"It came from {topic!r}, which no job is read from.",)
    return ("It is a result, not a request: run its job again with `sluice replay`.",)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")


def kept_headers(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return headers as text, for people."""
    return {name: _text(value) for name, value in fields.items()}
