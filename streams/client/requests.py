"""Encodes requests of every processor and lane, whichever way they reach the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from schemas.codec import Codec
from schemas.contract import contract, known_processors, unknown_processor
from schemas.errors import SluiceError, Unreachable, UsageError
from schemas.headers import Header, request_headers
from schemas.records import Claim, JobHeader
from schemas.states import Lane
from streams.client.request_encoder import RequestEncoder
from streams.settings import Settings


class EncodedRequest(NamedTuple):
    """A request as it is published. `claims`: the files that its input refers to."""

    header: JobHeader
    claims: list[Claim]
    topic: str
    key: bytes
    value: bytes
    headers: list[Header]


class RequestEncoders:
    """Encodes requests; an encoder is made at the first request of its processor and lane. Safe to share between threads.

    `source`: the program that submits, for the CloudEvents attribute.
    """

    def __init__(self, settings: Settings, codec: Codec, source: str) -> None:
        self._settings = settings
        self._codec = codec
        self._source = source
        self._encoders: dict[tuple[str, str], RequestEncoder] = {}

    def encode(
        self,
        processor: str,
        input_: Any,
        options: Mapping[str, Any],
        key_space: str = "",
        job_id: str | None = None,
    ) -> EncodedRequest:
        """Encode one job. `key_space`: see `derived_id`. `job_id`: the job's id, where the caller derives it itself.

        Raises UnknownProcessor, InvalidInput, PayloadTooLarge, UsageError; and Unreachable at the first request of a processor
        and lane, which asks the registry.
        """
        encoder = self.encoder(processor, options.get("lane") or Lane.LIVE)
        header, claims, value = encoder.encode(input_, options, key_space, job_id)
        headers = request_headers(header, source=self._source, claims=[claim.uri for claim in claims])
        key = (header.order_key or header.job_id).encode()
        return EncodedRequest(header, claims, encoder.topic, key, value, headers)

    def is_made(self, processor: str, lane: str) -> bool:
        """True if `encode` will not wait for the registry."""
        return (processor, lane) in self._encoders

    def make_all(self, stopped: Callable[[], bool]) -> None:
        """Make the encoders of all processors that are served, so that no request waits for the registry.

        Those that can't be made now, because the registry is away or lacks a schema, are made at their first request.
        """
        for name in self._settings.served_processors:
            for lane in Lane:
                if stopped():
                    return
                try:
                    self.encoder(name, lane)
                except Unreachable:
                    return
                except SluiceError:
                    break

    def encoder(self, processor: str, lane: str) -> RequestEncoder:
        """Return the encoder of a processor and lane. Raises UnknownProcessor, UsageError, UnknownSchema, Unreachable."""
        made = self._encoders.get((processor, lane))
        return self._new(processor, lane) if made is None else made

    def _new(self, processor: str, lane: str) -> RequestEncoder:
        if lane not in tuple(Lane):
            raise UsageError(f"There is no lane {lane!r}.", next_step=f"The lanes are {' and '.join(Lane)}.")
        if processor not in known_processors():
            raise unknown_processor(processor, self._settings.served_processors)
        topic = self._settings.topics.requests(processor, lane)
        made = contract(processor)
        made = replace(made, custody=self._settings.custody(made).value)
        encoder = RequestEncoder(made, topic, self._codec, self._settings.auto_register)
        return self._encoders.setdefault((processor, lane), encoder)
