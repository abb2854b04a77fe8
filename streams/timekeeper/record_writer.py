"""The records that the timekeeper makes: a request once more, and the end of a run that no worker ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import Message

from connectors.due_store import DueRun
from schemas.avsc import request_schema
from schemas.codec import Codec, Encoder
from schemas.contract import contract
from schemas.errors import ErrorCode, UndecodableRecord
from schemas.headers import ATTEMPT, DISPOSITION, EXECUTION, JOB, PROCESSOR, RUN
from schemas.plain import to_plain
from schemas.records import Coordinates, ErrorInfo, JobHeader
from schemas.states import Disposition
from schemas.topics import TopicNames
from streams.engine_results import EngineResults
from streams.timekeeper.outbox import Outbox

Plain = dict[str, Any]


class RecordWriter:
    """Puts into the outbox. Raises SluiceError where a processor's contract is not installed or its schema not known."""

    def __init__(self, codec: Codec, names: TopicNames, outbox: Outbox, who: str) -> None:
        self._codec = codec
        self._names = names
        self._outbox = outbox
        self._verdicts = EngineResults(codec, names, who)
        self._encoders: dict[str, Encoder] = {}

    def opened(self, request: Message | None, job_id: str) -> Plain | None:
        """A job's request, decoded; None for one that is gone or can't be read. Raises Unreachable."""
        return None if request is None else self.read(request.value() or b"", job_id)

    def read(self, value: bytes, job_id: str) -> Plain | None:
        """As `opened`, of the request's bytes.

        Of a topic that was made again another record lies at the same place: what is another job's is as good as gone.
        """
        try:
            plain = self._codec.decode(value)
        except UndecodableRecord:
            return None
        header = plain.get("header") if isinstance(plain, dict) else None
        return plain if isinstance(header, dict) and header.get("job_id") == job_id else None

    def again(self, due: DueRun, plain: Plain, place: Coordinates, request: Message) -> None:
        """The same request: same topic (and so the same lane) and same key. After a retry it is one attempt further; one that
        was not to begin before its time is released by naming where it came from."""
        attempt = due.attempt + (due.kind == "retry")
        header = plain["header"] | {"run": due.run, "attempt": attempt, "source_coordinates": to_plain(place)}
        value = self._encoder(due.processor).encode(plain | {"header": header})
        told = dict(request.headers() or []) | {
            ATTEMPT: b"%d" % attempt,
            RUN: b"%d" % due.run,
            "ce_id": f"{due.job_id}:{due.run}:{attempt}".encode(),
            "ce_source": b"sluice/timekeeper",
        }
        self._outbox.put(place.topic, request.key(), value, told)

    def end(
        self, due: DueRun, header: Mapping[str, Any] | None, place: Coordinates | None, code: ErrorCode, message: str
    ) -> None:
        """The end of a run: cancelled if the code says so, else failed. `header`: its request's, if it could be read."""
        disposition = Disposition.CANCELLED if code is ErrorCode.CANCELLED else Disposition.FAILED
        told = {**(header or _minimal_header(due)), "run": due.run, "attempt": due.attempt}
        value = self._verdicts.ended(told, disposition, ErrorInfo(str(code), message, "", str(code)), place)
        headers = {
            JOB: due.job_id.encode(),
            RUN: b"%d" % due.run,
            ATTEMPT: b"%d" % due.attempt,
            PROCESSOR: due.processor.encode(),
            DISPOSITION: disposition.value.encode(),
            EXECUTION: b"0",
        }
        self._outbox.put(self._names.results(due.processor), due.job_id.encode(), value, headers)

    def _encoder(self, processor: str) -> Encoder:
        encoder = self._encoders.get(processor)
        if encoder is None:
            subject = f"{self._names.requests(processor)}-value"
            encoder = self._encoders[processor] = self._codec.encoder(subject, request_schema(contract(processor)))
        return encoder


def _minimal_header(due: DueRun) -> Plain:
    return to_plain(JobHeader(due.job_id, due.processor, due.created_at, ""))
