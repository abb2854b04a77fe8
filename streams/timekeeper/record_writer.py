"""Makes the timekeeper's records: a request to publish again, and the result of a run that no worker will end."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from confluent_kafka import Message

from connectors.due_store import DueRun
from schemas.avsc import request_schema
from schemas.codec import Codec, Encoder
from schemas.contract import contract
from schemas.errors import ErrorCode, UndecodableRecord
from schemas.headers import ATTEMPT, DISPOSITION, EXECUTION, JOB, PROCESSOR, RUN
from schemas.plain import to_plain
from schemas.records import Coordinates, ErrorInfo
from schemas.states import Disposition
from schemas.topics import TopicNames
from streams.engine_results import EngineResults
from streams.timekeeper.publisher import RecordPublisher

Plain = dict[str, Any]


class RecordWriter:
    """Queues records with the publisher. Raises SluiceError if a processor's contract or schema is not known."""

    def __init__(self, codec: Codec, names: TopicNames, publisher: RecordPublisher, who: str) -> None:
        self.codec = codec
        self._names = names
        self._publisher = publisher
        self._engine_results = EngineResults(codec, names, who)
        self._encoders: dict[str, Encoder] = {}

    def decode(self, request: Message | None, job_id: str) -> Plain | None:
        """Return a job's request, decoded; None if it is gone or can't be decoded. Raises Unreachable."""
        return None if request is None else self.decode_value(request.value() or b"", job_id)

    def decode_value(self, value: bytes, job_id: str) -> Plain | None:
        """Decode the bytes of a job's request, as `decode` does.

        Returns None for another job's request: a topic that was deleted and created again has other records at the offset.
        """
        try:
            plain = self.codec.decode(value)
        except UndecodableRecord:
            return None
        header = plain.get("header") if isinstance(plain, dict) else None
        return plain if isinstance(header, dict) and header.get("job_id") == job_id else None

    def republish(
        self, name: Hashable, due: DueRun, request: Plain, coordinates: Coordinates, message: Message
    ) -> None:
        """Queue the request again, on the same topic (so the same lane) with the same key.

        A retry has the next attempt's number. Setting `source_coordinates` tells workers that a delayed job may now start.
        """
        attempt = due.attempt + (due.kind == "retry")
        header = request["header"] | {"run": due.run, "attempt": attempt, "source_coordinates": to_plain(coordinates)}
        value = self.encoder(due.processor).encode(request | {"header": header})
        headers = dict(message.headers() or []) | {
            ATTEMPT: b"%d" % attempt,
            RUN: b"%d" % due.run,
            "ce_id": f"{due.job_id}:{due.run}:{attempt}".encode(),
            "ce_source": b"sluice/timekeeper",
        }
        self._publisher.put(name, coordinates.topic, message.key(), value, headers)

    def end_run(
        self,
        name: Hashable,
        due: DueRun,
        header: Mapping[str, Any],
        coordinates: Coordinates | None,
        code: ErrorCode,
        message: str,
    ) -> None:
        """Queue a result that ends the run: cancelled if the code says so, else failed. `coordinates`: the request's."""
        disposition = Disposition.CANCELLED if code is ErrorCode.CANCELLED else Disposition.FAILED
        header = {**header, "run": due.run, "attempt": due.attempt}
        value = self._engine_results.ended(
            header, disposition, ErrorInfo(str(code), message, "", str(code)), coordinates
        )
        headers = {
            JOB: due.job_id.encode(),
            RUN: b"%d" % due.run,
            ATTEMPT: b"%d" % due.attempt,
            PROCESSOR: due.processor.encode(),
            DISPOSITION: disposition.value.encode(),
            EXECUTION: b"0",
        }
        self._publisher.put(name, self._names.results(due.processor), due.job_id.encode(), value, headers)

    def encoder(self, processor: str) -> Encoder:
        """Return the encoder of a processor's requests. Raises UnknownProcessor, UnknownSchema, Unreachable."""
        encoder = self._encoders.get(processor)
        if encoder is None:
            subject = f"{self._names.requests(processor)}-value"
            encoder = self._encoders[processor] = self.codec.encoder(subject, request_schema(contract(processor)))
        return encoder
