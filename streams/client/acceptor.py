"""Accepts requests by a committed row, and publishes them: for programs whose *accepted* must not wait for Kafka.

Requests that wait at the same moment are committed in one statement, by one thread: while a commit takes a millisecond, the
next group collects. A request that can't be published now is published by the timekeeper (streams/timekeeper/unsent.py).
docs/adr/0023 says when a request is published beside its commit, and when after it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message

from connectors.payload_store import Acceptance, Payload, PayloadStore
from schemas.errors import SluiceError, Unreachable
from streams import logs
from streams.client.requests import EncodedRequest
from streams.log.port import LogProducer

log = logs.get("acceptor")

#: Called on the acceptor's thread with the answer, or with the error for which the request may not have been accepted. Must not
#: raise.
Done = Callable[[Acceptance | SluiceError], None]

#: Most requests in one commit, and most bytes.
LARGEST_GROUP = 500
LARGEST_GROUP_BYTES = 8 * 1024 * 1024
#: More requests than these can't wait for their commit; further ones are refused.
MOST_WAITING = 10_000
#: Seconds that the last records may take to be published at the end.
FLUSH_S = 5.0


class _Waiting(NamedTuple):
    request: EncodedRequest
    payload: Payload
    done: Done
    published: bool


class Acceptor:
    """Call `run` on a thread of its own; it returns after `close`. The other methods may be called from any thread."""

    def __init__(self, open_store: Callable[[], PayloadStore], producer: LogProducer) -> None:
        self._open_store = open_store
        self._producer = producer
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        #: True while the last group was committed.
        self._store_answers = False
        #: Set once no further requests are accepted.
        self.closed = threading.Event()

    def accept(self, request: EncodedRequest, done: Done, *, new: bool = False) -> None:
        """Accept one request; `done` is called once. Raises Unreachable if too many wait, or after `close`.

        `new`: no other request can have its id. It is published beside its commit while the store answers, else after it.
        """
        if self.closed.is_set() or self._waiting.qsize() >= MOST_WAITING:
            raise Unreachable("Too many requests wait for the database.", next_step="Send it again in a moment.")
        at_once = new and self._store_answers
        if at_once:
            self.publish([request])
        self._waiting.put(_Waiting(request, payload_of(request), done, at_once))

    def publish(self, requests: Iterable[EncodedRequest]) -> None:
        """Publish accepted requests without waiting for their reports."""
        for request in requests:
            try:
                self._producer.produce(
                    request.topic, request.value, request.key, headers=request.headers, on_delivery=_reported
                )
            except BufferError:
                log.warning("job_not_published", job=request.header.job_id, reason="the client's queue is full")
            except KafkaException as error:
                _reported(error.args[0], None)
        self._producer.poll(0)

    def run(self) -> None:
        """Accept requests until `close`, and those that wait then."""
        with self._open_store() as store:
            while (first := self._waiting.get()) is not None:
                group = self._group(first)
                answers = _accepted(store, group)
                self._store_answers = not any(isinstance(answer, Unreachable) for _, answer in answers)
                self.publish(one.request for one, answer in answers if _is_new(answer) and not one.published)
                for one, answer in answers:
                    one.done(_after_publishing(one, answer) if one.published else answer)
        self._producer.flush(FLUSH_S)

    def close(self) -> None:
        """Let `run` end. Requests that wait are still accepted."""
        self.closed.set()
        self._waiting.put(None)

    def _group(self, first: _Waiting) -> list[_Waiting]:
        """Return everything that waits now, within the limits of a group."""
        group, size = [first], len(first.request.value)
        while len(group) < LARGEST_GROUP and size < LARGEST_GROUP_BYTES:
            try:
                one = self._waiting.get_nowait()
            except queue.Empty:
                break
            if one is None:
                self._waiting.put(None)
                break
            group.append(one)
            size += len(one.request.value)
        return group


def payload_of(request: EncodedRequest) -> Payload:
    """Return a request as the store keeps it."""
    header = request.header
    return Payload(
        job_id=header.job_id,
        run=header.run,
        processor=header.processor,
        lane=header.lane,
        key=request.key,
        value=request.value,
        headers=[(name, text.decode()) for name, text in request.headers],
        tenant=header.tenant,
        input_sha256=header.input_sha256,
        batch_id=header.batch_id,
    )


def _accepted(store: PayloadStore, group: Sequence[_Waiting]) -> list[tuple[_Waiting, Acceptance | SluiceError]]:
    """Accept a group. If it is refused for another reason than an outage, one request may be why: each is tried alone."""
    try:
        return list(zip(group, store.accept_many([one.payload for one in group]), strict=True))
    except Unreachable as error:
        return [(one, error) for one in group]
    except SluiceError as error:
        if len(group) == 1:
            return [(group[0], error)]
    return [pair for one in group for pair in _accepted(store, [one])]


def _is_new(answer: Acceptance | SluiceError) -> bool:
    return isinstance(answer, Acceptance) and answer.accepted


def _after_publishing(one: _Waiting, answer: Acceptance | SluiceError) -> Acceptance | SluiceError:
    """Return the answer to a request that was published already. The sink may have stored the job before the store looked."""
    if isinstance(answer, Acceptance):
        return Acceptance(True, one.payload.input_sha256)
    log.warning("job_published_not_accepted", job=one.request.header.job_id, code=str(answer.code))
    return answer


def _reported(error: KafkaError | None, _: Message | None) -> None:
    if error is not None:
        log.warning("job_not_published", reason=error.name())
