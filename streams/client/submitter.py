"""Submits jobs: for Python programs and for `sluice submit`.

*Accepted* means delivered: `submit` returns once the broker has confirmed the request, and `flush` raises unless every job of
`submit_nowait` was confirmed. Imports neither a model nor a database client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Any, NamedTuple, Unpack

from confluent_kafka import Message

from schemas.codec import Codec
from schemas.contract import contract, known_processors, unknown_processor
from schemas.errors import SluiceError, UsageError
from schemas.headers import request_headers
from schemas.states import Lane
from streams import wiring
from streams.client.job_options import JobOptions
from streams.client.request_encoder import RequestEncoder
from streams.log import kafka
from streams.log.confirmed_producer import ConfirmedProducer
from streams.settings import Settings

#: How many jobs `submit_nowait` queues between two looks at the delivery reports.
_POLL_EVERY = 256
#: How much longer than its time a job's report may take, in seconds: the client looks for expired records once a second.
_REPORT_S = 3.0


class Submitted(NamedTuple):
    """An accepted job and the place of its request in the log."""

    job_id: str
    topic: str
    partition: int
    offset: int


class Submitter:
    """Submits jobs; a context manager that flushes at its end. Safe to share between threads.

    `timeout_s`: seconds the broker has to confirm one job before it counts as not accepted.
    """

    def __init__(self, settings: Settings, *, source: str = "sluice/submit", timeout_s: float = 30.0) -> None:
        self._settings = settings
        self._source = source
        self._wait_s = timeout_s + _REPORT_S
        self._open = ExitStack()
        self._codec = Codec(self._open.enter_context(wiring.open_registry(settings)))
        self._client = kafka.producer(settings, **{"delivery.timeout.ms": int(timeout_s * 1000)})
        self._queued = ConfirmedProducer(self._client, "job", self._wait_s)
        self._encoders: dict[tuple[str, str], RequestEncoder] = {}
        self._unpolled = 0

    def __enter__(self) -> Submitter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with self._open:
            try:
                self.flush()
            except SluiceError:
                if error is None:
                    raise  # else the error that ended the block is the one to raise; the queued jobs were still sent

    def submit(self, processor: str, input_: Any, **options: Unpack[JobOptions]) -> Submitted:
        """Submit one job (a dataclass or a mapping) and wait until it is accepted.

        Raises UnknownProcessor, InvalidInput, PayloadTooLarge, UsageError, Unreachable.
        """
        accepted: list[Message] = []
        job = ConfirmedProducer(self._client, "job", self._wait_s)
        job_id = self._produce(job, processor, input_, options, accepted.append)
        job.flush()
        (message,) = accepted
        return Submitted(job_id, str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))

    def submit_nowait(self, processor: str, input_: Any, **options: Unpack[JobOptions]) -> str:
        """Queue one job and return its id; it is accepted when `flush` has returned."""
        job_id = self._produce(self._queued, processor, input_, options)
        self._unpolled += 1
        if self._unpolled >= _POLL_EVERY:
            self._unpolled = 0
            self._client.poll(0)
        return job_id

    def submit_many(self, processor: str, inputs: Iterable[Any], **options: Unpack[JobOptions]) -> Iterator[str]:
        """Queue many jobs with the same options; yield each id as it is queued, and flush at the end."""
        for input_ in inputs:
            yield self.submit_nowait(processor, input_, **options)
        self.flush()

    def flush(self) -> None:
        """Wait until every queued job is accepted. Raises Unreachable, SluiceError: how many were not, and one id."""
        self._queued.flush()

    def input_sha256(self, processor: str, input_: Any) -> str:
        """Return the hash a job with this input carries: jobs of one idempotency key must share it. Raises InvalidInput."""
        return self._encoder(processor, Lane.LIVE).encode(input_, {})[0].input_sha256

    def _produce(
        self,
        producer: ConfirmedProducer,
        processor: str,
        input_: Any,
        options: JobOptions,
        on_confirmed: Callable[[Message], None] | None = None,
    ) -> str:
        encoder = self._encoder(processor, options.get("lane") or Lane.LIVE)
        header, claims, value = encoder.encode(input_, options)
        headers = request_headers(header, source=self._source, claims=claims)
        producer.produce(
            encoder.topic, value, (header.order_key or header.job_id).encode(), headers, on_confirmed=on_confirmed
        )
        return header.job_id

    def _encoder(self, processor: str, lane: str) -> RequestEncoder:
        encoder = self._encoders.get((processor, lane))
        return self._new_encoder(processor, lane) if encoder is None else encoder

    def _new_encoder(self, processor: str, lane: str) -> RequestEncoder:
        if lane not in tuple(Lane):
            raise UsageError(f"There is no lane {lane!r}.", next_step=f"The lanes are {' and '.join(Lane)}.")
        if processor not in known_processors():
            raise unknown_processor(processor)
        topic = self._settings.topics.requests(processor, lane)
        encoder = RequestEncoder(contract(processor), topic, self._codec, self._settings.auto_register)
        return self._encoders.setdefault((processor, lane), encoder)
