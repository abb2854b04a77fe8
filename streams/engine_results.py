"""Results without a worker: the sink makes them for jobs whose result is a dead letter, the timekeeper for its ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from schemas.avsc import result_schema
from schemas.codec import Codec, Encoder
from schemas.contract import contract
from schemas.errors import SluiceError, Unreachable
from schemas.plain import to_plain
from schemas.records import Coordinates, ErrorInfo, ResultInfo, Timings
from schemas.states import Disposition
from schemas.topics import TopicNames


class EngineResults:
    """Encodes failed and cancelled results, for any processor whose contract is installed."""

    def __init__(self, codec: Codec, names: TopicNames, worker_id: str) -> None:
        self._codec = codec
        self._names = names
        self._worker_id = worker_id
        self._encoders: dict[str, Encoder] = {}

    def failed(self, header: Mapping[str, Any], error: ErrorInfo, request: Coordinates | None = None) -> bytes:
        """Encode a Result with disposition failed. Raises UnknownProcessor, UnknownSchema, Unreachable."""
        return self.ended(header, Disposition.FAILED, error, request)

    def ended(
        self,
        header: Mapping[str, Any],
        disposition: Disposition,
        error: ErrorInfo,
        request: Coordinates | None = None,
    ) -> bytes:
        """Encode a Result with this disposition: failed or cancelled. Raises as `failed`."""
        return self._encode(self._encoder(header["processor"]), header, disposition, error, request)

    def _encode(
        self,
        encoder: Encoder,
        header: Mapping[str, Any],
        disposition: Disposition,
        error: ErrorInfo,
        request: Coordinates | None,
    ) -> bytes:
        now = datetime.now(UTC)
        info = ResultInfo(
            disposition=disposition.value,
            worker_id=self._worker_id,
            device="",
            timings=Timings(now, now, now),
            execution=0,  # of no worker, so neither a lease nor a crash can make it stale
            request_coordinates=request,
            error=error,
            input_sha256=header["input_sha256"],
        )
        return encoder.encode({"header": header, "result": to_plain(info), "output": None})

    def failed_like(self, header: Mapping[str, Any], error: ErrorInfo, sample: bytes) -> bytes | None:
        """Do as `failed`, but for a processor that is not installed here use the schema of `sample`, a result of its own.

        Returns None if that is no result either, or the header does not fit. Raises Unreachable."""
        encoders: tuple[Callable[[], Encoder], ...] = (
            lambda: self._encoder(header["processor"]),
            lambda: self._codec.encoder_like(sample),
        )
        for encoder in encoders:
            try:
                return self._encode(encoder(), header, Disposition.FAILED, error, None)
            except Unreachable:
                raise
            except (SluiceError, KeyError):
                continue
        return None

    def _encoder(self, processor: str) -> Encoder:
        encoder = self._encoders.get(processor)
        if encoder is None:
            subject = f"{self._names.results(processor)}-value"
            encoder = self._encoders[processor] = self._codec.encoder(subject, result_schema(contract(processor)))
        return encoder
