"""Hands jobs to the log: the door for Python programs and for `sluice submit`.

*Accepted* means delivered: `submit` returns once the broker has confirmed the request, and `flush` raises unless every job of
`submit_nowait` was confirmed. Imports neither a model nor a database client.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, NamedTuple, cast

from confluent_kafka import KafkaError, KafkaException, Message

from schemas.codec import Codec
from schemas.contract import contract, known_processors, unknown_processor
from schemas.errors import SluiceError, UsageError
from schemas.headers import JOB, request_headers
from streams.client.request_encoder import RequestEncoder
from streams.log import kafka
from streams.log.open_registry import open_registry
from streams.settings import Settings

_LANES = ("live", "bulk")
#: How often `submit_nowait` lets delivery reports in.
_POLL_EVERY = 256

DeliveryReport = Callable[[KafkaError | None, Message], None]


class Submitted(NamedTuple):
    """An accepted job and where its request lies."""

    job_id: str
    topic: str
    partition: int
    offset: int


class Submitter:
    """Submits jobs; a context manager that flushes at its end. Safe to share between threads.

    `timeout_s` is how long the broker may take to confirm one job before it counts as not accepted.
    """

    def __init__(self, settings: Settings, *, source: str = "sluice/submit", timeout_s: float = 30.0) -> None:
        self._settings = settings
        self._source = source
        self._timeout_s = timeout_s
        self._open = ExitStack()
        self._codec = Codec(self._open.enter_context(open_registry(settings)))
        self._producer = kafka.producer(settings, **{"delivery.timeout.ms": int(timeout_s * 1000)})
        self._encoders: dict[tuple[str, str], RequestEncoder] = {}
        self._unpolled = 0
        self._failed: list[tuple[str, KafkaError]] = []

    def __enter__(self) -> Submitter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with self._open:
            if error is None:
                self.flush()
            else:
                # What was queued was meant; the error that ended the block is the one that is told.
                self._producer.flush(self._timeout_s)

    def submit(self, processor: str, input_: Any, **options: Any) -> Submitted:
        """Submit one job (a dataclass or a mapping) and wait for its delivery; `options` are those of `submit_nowait`.

        Raises UnknownProcessor, InvalidInput, PayloadTooLarge, Unreachable.
        """
        reports: list[tuple[KafkaError | None, Message]] = []
        job_id = self._produce(processor, input_, options, lambda error, message: reports.append((error, message)))
        self._await(reports)
        error, message = reports[0]
        if error is not None:
            raise kafka.translate(error, f"submitting a job to {processor!r}")
        return Submitted(job_id, str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))

    def submit_nowait(self, processor: str, input_: Any, **options: Any) -> str:
        """Queue one job and return its id; it is accepted when `flush` has returned.

        Options: `callback_url`, `idempotency_key` (the same key makes the same job), `tenant`, `lane` (live or bulk),
        `deadline` and `not_before` (aware datetimes: when it is of no use any more, and before when it must not run),
        `order_key`, `external_id`, `case_id`, `upload_id`, `batch_id`, `labels`, `max_attempts`, and any other field of
        `JobHeader`.
        """
        job_id = self._produce(processor, input_, options, self._on_report)
        self._unpolled += 1
        if self._unpolled >= _POLL_EVERY:
            self._unpolled = 0
            self._producer.poll(0)
        return job_id

    def input_sha256(self, processor: str, input_: Any) -> str:
        """The hash that a job with this input carries: jobs of one idempotency key must have the same. Raises InvalidInput."""
        return self._encoder_for(processor, "live").encode(input_, {})[0].input_sha256

    def submit_many(self, processor: str, inputs: Iterable[Any], **options: Any) -> Iterator[str]:
        """Queue many jobs with the same options; yields each id as it is queued and flushes at the end."""
        for input_ in inputs:
            yield self.submit_nowait(processor, input_, **options)
        self.flush()

    def flush(self) -> None:
        """Wait for all delivery reports. Raises when any job was not confirmed: the error names how many and one id."""
        left = self._producer.flush(self._timeout_s + 1.0)
        failed, self._failed = self._failed, []
        if failed:
            job_id, error = failed[0]
            raise kafka.translate(error, f"submitting {len(failed)} jobs, the first of them {job_id}")
        if left:
            raise SluiceError(f"{left} jobs were not confirmed within {self._timeout_s:.0f} s.")

    def _produce(self, processor: str, input_: Any, options: Mapping[str, Any], report: DeliveryReport) -> str:
        lane = options.get("lane", "live")
        encoder = self._encoders.get((processor, lane)) or self._encoder_for(processor, lane)
        header, claims, value = encoder.encode(input_, options)
        headers = request_headers(header, source=self._source, claims=claims)
        key = (header.order_key or header.job_id).encode()
        while True:
            try:
                self._producer.produce(encoder.topic, value, key, headers=cast("Any", headers), on_delivery=report)
            except BufferError:  # the queue is full: reports make room
                self._producer.poll(0.1)
            except KafkaException as error:
                raise kafka.translate(error, f"submitting a job to {processor!r}") from error
            else:
                return header.job_id

    def _encoder_for(self, processor: str, lane: str) -> RequestEncoder:
        if lane not in _LANES:
            raise UsageError(f"There is no lane {lane!r}.", next_step="The lanes are live and bulk.")
        if processor not in known_processors():
            raise unknown_processor(processor)
        topic = self._settings.topics.requests(processor, lane)
        encoder = RequestEncoder(contract(processor), topic, self._codec, self._settings.auto_register)
        return self._encoders.setdefault((processor, lane), encoder)

    def _await(self, reports: list[Any]) -> None:
        until = time.monotonic() + self._timeout_s + 1.0
        while not reports:
            self._producer.poll(0.1)
            if time.monotonic() > until:
                raise SluiceError(f"Kafka sent no delivery report within {self._timeout_s:.0f} s.")

    def _on_report(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed.append((_job_of(message), error))


def _job_of(message: Message) -> str:
    value = dict(message.headers() or []).get(JOB) or message.key() or b"?"
    return value.decode() if isinstance(value, bytes) else str(value)
