"""The records of each run in the log, kept small: places, digests and a few fields. Nothing of an input is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from confluent_kafka import Message

from connectors.audit_store import AuditKey
from connectors.jsonb import jsonb
from connectors.sink_store import LogPosition
from schemas import headers
from schemas.codec import Codec
from schemas.errors import ErrorCode, InvalidInput, UndecodableRecord, UnknownSchema
from schemas.ids import is_job_id
from schemas.states import Disposition, Mode, State
from schemas.topics import BULK

_STATES = {
    Disposition.SUCCEEDED: State.COMPLETED,
    Disposition.FAILED: State.FAILED,
    Disposition.CANCELLED: State.CANCELLED,
}


class SeenRequest(NamedTuple):
    place: LogPosition
    attempt: int
    at_ms: int
    bulk: bool


class SeenResult(NamedTuple):
    """`final`: it may become the outcome; a retry may not."""

    place: LogPosition
    attempt: int
    final: bool
    digest: bytes


class SeenOutcome(NamedTuple):
    """A record of `outcomes.<processor>`. `content`: see `content_digest`. `status` is None if it can't be decoded; `callback`:
    its header names a callback URL, None if the header can't tell."""

    digest: bytes
    at_ms: int
    status: str | None = None
    error_code: str | None = None
    attempt: int = 0
    content: bytes = b""
    callback: bool | None = None


@dataclass(slots=True)
class RunInLog:
    """The records of one run. `listed`: the store named it, so its request may lie outside of the offsets that are read."""

    processor: str
    listed: bool = False
    requests: list[SeenRequest] = field(default_factory=list)
    results: list[SeenResult] = field(default_factory=list)
    published: list[SeenOutcome] = field(default_factory=list)

    def places(self) -> list[LogPosition]:
        """Return the places of the records that the sink keeps a history of."""
        return [*(each.place for each in self.requests), *(each.place for each in self.results)]


@dataclass(slots=True)
class RecordCounts:
    """Records of the requests topics. Their sum is the number that was read."""

    first: int = 0
    further_attempts: int = 0
    repeated: int = 0
    other_tenants: int = 0
    unreadable: int = 0


class Evidence:
    """Takes the messages of the log, topic by topic. `tenant`: None for all; else requests of others are only counted.

    `keep_early`: also keep the results and outcomes of runs whose request is read later, until `forget_early`.
    """

    def __init__(
        self, codec: Codec, topic_ids: Mapping[str, bytes], tenant: str | None = None, *, keep_early: bool = False
    ) -> None:
        self._codec = codec
        self.topic_ids = topic_ids
        self._tenant = tenant
        self.runs: dict[AuditKey, RunInLog] = {}
        #: With the time of the first record, in ms.
        self._early: dict[AuditKey, tuple[int, RunInLog]] | None = {} if keep_early else None
        self.counts = RecordCounts()
        #: Requests without a job id, by place: the time, and the topic's name.
        self.unreadable: dict[LogPosition, str] = {}
        #: Records that are dead letters, by their own place.
        self.dead_letters: set[LogPosition] = set()
        #: Outcomes of runs that were not asked for.
        self.strays: dict[AuditKey, RunInLog] = {}
        #: Times of the requests that were taken, in ms: the first and the last. Reset it to None before a look.
        self.times: tuple[int, int] | None = None

    def take_request(self, message: Message, processor: str) -> None:
        topic, place = message.topic() or "", self._place(message)
        found = self._of_request(message)
        if found is None:
            self.counts.unreadable += 1
            self.unreadable[place] = topic
            return
        key, attempt = found
        if self._tenant is not None and self._tenant_of(message) != self._tenant:
            self.counts.other_tenants += 1
            return
        run = self.runs.get(key)
        if run is None:
            run = self.runs[key] = self._take_early(key, processor)
        if not run.requests:
            self.counts.first += 1
        elif all(attempt > each.attempt for each in run.requests):
            self.counts.further_attempts += 1
        else:
            self.counts.repeated += 1
        at_ms = int(message.timestamp()[1])
        run.requests.append(SeenRequest(place, attempt, at_ms, topic.endswith(BULK)))
        earliest, latest = self.times or (at_ms, at_ms)
        self.times = min(earliest, at_ms), max(latest, at_ms)

    def take_result(self, message: Message) -> None:
        value = message.value() or b""
        of_kafka: dict[str, Any] = dict(message.headers() or ())
        key, attempt, disposition = _by_headers(of_kafka), _number(of_kafka.get(headers.ATTEMPT)), None
        if key is None or attempt is None or headers.DISPOSITION not in of_kafka:
            plain = self._decoded(value)
            key = _by_value(plain)
            if key is None or not isinstance(plain.get("result"), dict):
                return  # the sink makes it a dead letter
            attempt, disposition = int(plain["header"]["attempt"]), str(plain["result"].get("disposition"))
        run = self.runs.get(key) or self._as_early(key, message)
        if run is not None:
            disposition = disposition or of_kafka[headers.DISPOSITION].decode("utf-8", "replace")
            final = Disposition(disposition) in _STATES
            run.results.append(SeenResult(self._place(message), attempt, final, _digest(value)))

    def take_outcome(self, message: Message, processor: str) -> None:
        job_id, _, number = (message.key() or b"").decode("utf-8", "replace").partition(":")
        if not is_job_id(job_id) or not number.isdecimal():
            return
        key = (UUID(job_id).bytes, int(number))
        run = self.runs.get(key)
        if run is None:
            stray = self.strays.setdefault(key, RunInLog(processor))
            stray.published.append(SeenOutcome(b"", int(message.timestamp()[1])))
            run = self._as_early(key, message)
        if run is None:
            return
        value = message.value() or b""
        seen = _seen_outcome(self._decoded(value), _digest(value), int(message.timestamp()[1]))
        run.published.append(seen)

    def take_dead_letter(self, message: Message) -> None:
        of_kafka: dict[str, Any] = dict(message.headers() or ())
        topic_id = self.topic_ids.get((of_kafka.get(headers.DL_TOPIC) or b"").decode("utf-8", "replace"))
        partition, offset = _number(of_kafka.get(headers.DL_PARTITION)), _number(of_kafka.get(headers.DL_OFFSET))
        if topic_id is not None and partition is not None and offset is not None:
            self.dead_letters.add(LogPosition(topic_id, partition, offset))

    def forget_early(self, before_ms: float) -> None:
        """Forget the runs without a request whose first record is older: their request was read long ago."""
        if self._early is not None:
            self._early = {key: found for key, found in self._early.items() if found[0] >= before_ms}

    def _as_early(self, key: AuditKey, message: Message) -> RunInLog | None:
        if self._early is None:
            return None
        return self._early.setdefault(key, (int(message.timestamp()[1]), RunInLog("")))[1]

    def _take_early(self, key: AuditKey, processor: str) -> RunInLog:
        run = (self._early or {}).pop(key, (0, RunInLog(processor)))[1]
        run.processor = processor
        self.strays.pop(key, None)
        return run

    def _place(self, message: Message) -> LogPosition:
        return LogPosition(self.topic_ids[message.topic() or ""], message.partition() or 0, message.offset() or 0)

    def _of_request(self, message: Message) -> tuple[AuditKey, int] | None:
        of_kafka: dict[str, Any] = dict(message.headers() or ())
        key, attempt = _by_headers(of_kafka), _number(of_kafka.get(headers.ATTEMPT))
        if key is not None and attempt is not None:
            return key, attempt
        plain = self._decoded(message.value() or b"")
        key = _by_value(plain)
        return None if key is None else (key, int(plain["header"]["attempt"]))

    def _tenant_of(self, message: Message) -> str | None:
        header = self._decoded(message.value() or b"").get("header")
        return header.get("tenant") if isinstance(header, dict) else None

    def _decoded(self, value: bytes) -> dict[str, Any]:
        """Return the record; {} if it can't be decoded. Raises Unreachable."""
        try:
            return self._codec.decode(value)
        except (UndecodableRecord, UnknownSchema):
            return {}


def content_digest(output: Any) -> bytes:
    """Return a digest of an output that is the same for its Avro record and for its jsonb column. Numbers count as floats:
    jsonb keeps 1.0 and 1 apart, and writes 1e20 as an integer."""
    return _digest(json.dumps(_plain(output), sort_keys=True).encode())


def stored_form(output: Any) -> Any:
    """Return an output as a jsonb column returns it. Raises InvalidInput."""
    return json.loads(jsonb(output))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**1000:
        return float(value)
    return value


def _seen_outcome(plain: dict[str, Any], digest: bytes, at_ms: int) -> SeenOutcome:
    try:
        header, info, output = plain["header"], plain["result"], plain["output"]
        state = _STATES[Disposition(info["disposition"])]
        code = None if info["error"] is None else info["error"]["code"]
        if state is State.FAILED and code == ErrorCode.DEADLINE_EXCEEDED:
            state = State.EXPIRED
        content = b"" if output is None else content_digest(stored_form(output))
        callback = bool(header["callback_url"]) and header.get("mode") != Mode.SHADOW
        return SeenOutcome(
            digest, at_ms, state, code, int(header["attempt"]), content, callback if header["input_sha256"] else None
        )
    except (KeyError, TypeError, ValueError, InvalidInput):
        return SeenOutcome(digest, at_ms)


def _by_headers(of_kafka: Mapping[str, Any]) -> AuditKey | None:
    job_id, run = of_kafka.get(headers.JOB), _number(of_kafka.get(headers.RUN))
    text = job_id.decode("utf-8", "replace") if isinstance(job_id, bytes) else ""
    return (UUID(text).bytes, run) if run is not None and is_job_id(text) else None


def _by_value(plain: Mapping[str, Any]) -> AuditKey | None:
    header = plain.get("header")
    if not isinstance(header, dict) or not is_job_id(str(header.get("job_id"))):
        return None
    return UUID(header["job_id"]).bytes, int(header.get("run") or 0)


def _number(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
