"""Submits jobs: for Python programs and for `sluice submit`.

*Accepted* means delivered: `submit` returns once the broker has confirmed the request, and `flush` raises unless every job of
`submit_nowait` was confirmed. Imports neither a model nor a database client.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Any, NamedTuple, Unpack

from confluent_kafka import Message

from schemas.codec import Codec
from schemas.errors import SluiceError
from schemas.states import Lane
from streams import wiring
from streams.client.forks import ForkGuard
from streams.client.job_options import JobOptions
from streams.client.requests import RequestEncoders
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


class _ProcessClients:
    """The clients of one process."""

    def __init__(self, settings: Settings, source: str, timeout_s: float) -> None:
        self.open = ExitStack()
        self.codec = Codec(self.open.enter_context(wiring.open_registry(settings)))
        self.client = kafka.producer(settings, **{"delivery.timeout.ms": int(timeout_s * 1000)})
        self.guard = ForkGuard(self.client)
        self.queued = ConfirmedProducer(self.client, "job", timeout_s + _REPORT_S)
        self.requests = RequestEncoders(settings, self.codec, source)
        self.unpolled = 0


class Submitter:
    """Submits jobs; a context manager that flushes at its end. Safe to share between threads.

    `key_space`: of a program whose idempotency keys must not be those of users (`derived_id`).
    `timeout_s`: seconds the broker has to confirm one job before it counts as not accepted. A child that is forked later gets
    clients of its own; jobs that are queued at the fork are the parent's to flush.
    """

    def __init__(
        self, settings: Settings, *, source: str = "sluice/submit", timeout_s: float = 30.0, key_space: str = ""
    ) -> None:
        self._settings = settings
        self._source = source
        self._timeout_s = timeout_s
        self._key_space = key_space
        self._reconnecting = threading.Lock()
        self._connected = _ProcessClients(settings, source, timeout_s)

    def __enter__(self) -> Submitter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._connected.guard.inherited:  # a forked child that submitted nothing
            return
        with self._connected.open:
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
        connection = self._own()
        job = ConfirmedProducer(connection.client, "job", self._timeout_s + _REPORT_S)
        job_id = self._produce(connection, job, processor, input_, options, accepted.append)
        job.flush()
        (message,) = accepted
        return Submitted(job_id, str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))

    def submit_nowait(self, processor: str, input_: Any, **options: Unpack[JobOptions]) -> str:
        """Queue one job and return its id; it is accepted when `flush` has returned."""
        connection = self._own()
        job_id = self._produce(connection, connection.queued, processor, input_, options)
        connection.unpolled += 1
        if connection.unpolled >= _POLL_EVERY:
            connection.unpolled = 0
            connection.client.poll(0)
        return job_id

    def submit_many(self, processor: str, inputs: Iterable[Any], **options: Unpack[JobOptions]) -> Iterator[str]:
        """Queue many jobs with the same options; yield each id as it is queued, and flush at the end."""
        for input_ in inputs:
            yield self.submit_nowait(processor, input_, **options)
        self.flush()

    def flush(self) -> None:
        """Wait until every queued job is accepted. Raises Unreachable, SluiceError: how many were not, and one id."""
        self._own().queued.flush()

    def id_and_input_sha256(self, processor: str, input_: Any, **options: Unpack[JobOptions]) -> tuple[str, str]:
        """Return the id and input hash that a job with these options would have, without submitting it.

        Raises as `submit`. The id is the job's only with an idempotency key.
        """
        header = self._own().requests.encoder(processor, Lane.LIVE).encode(input_, options, self._key_space)[0]
        return header.job_id, header.input_sha256

    def _own(self) -> _ProcessClients:
        """Return the clients of this process."""
        if self._connected.guard.inherited:
            with self._reconnecting:
                if self._connected.guard.inherited:
                    self._connected = _ProcessClients(self._settings, self._source, self._timeout_s)
        return self._connected

    def _produce(
        self,
        connection: _ProcessClients,
        producer: ConfirmedProducer,
        processor: str,
        input_: Any,
        options: JobOptions,
        on_confirmed: Callable[[Message], None] | None = None,
    ) -> str:
        request = connection.requests.encode(processor, input_, options, self._key_space)
        producer.produce(request.topic, request.value, request.key, request.headers, on_confirmed=on_confirmed)
        return request.header.job_id
