"""Publishes what the router decides, and returns once Kafka has confirmed it. Blocking: called on a thread of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from confluent_kafka import KafkaError

from schemas.errors import InvalidInput, SluiceError, UnknownSchema, Unreachable, UsageError
from schemas.headers import dead_letter_headers
from streams import logs
from streams.client.submitter import Submitter
from streams.health.loop_threads import frames_of
from streams.log import kafka
from streams.log.confirmed_producer import ConfirmedProducer
from streams.router.joins import Piece
from streams.router.routing import RoutedJob
from streams.settings import Settings

log = logs.get("router")

#: Seconds that Kafka has to confirm a batch before it is published again.
TIMEOUT_S = 10.0
#: Errors of one job that publishing it again does not mend.
REFUSALS = (InvalidInput, UsageError)


class ReadRecord(NamedTuple):
    """A record as it was read, for its dead letter."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Kept(NamedTuple):
    """An entry of the joins' state. `value`: None deletes it."""

    key: bytes
    value: bytes | None
    partition: int


def as_bug(error: Exception) -> SluiceError:
    """Return an unforeseen exception as the reason of a dead letter, without its text, and log where it was raised."""
    log.error("router_bug", reason=type(error).__name__, frames=frames_of(error))
    return SluiceError(f"The router failed on this record: {type(error).__name__}; search its log for router_bug.")


class RoutedPublisher:
    """`publish` and `keep` may be called again after Unreachable: ids are derived, so that doing it twice makes one job."""

    def __init__(self, settings: Settings, worker_id: str) -> None:
        self._names = settings.topics
        self._worker_id = worker_id
        self._open = ExitStack()
        submitter = Submitter(settings, source="sluice/router", timeout_s=TIMEOUT_S, key_space="router")
        self._jobs = self._open.enter_context(submitter)
        client = kafka.producer(settings, **{"delivery.timeout.ms": int(TIMEOUT_S * 1000)})
        self._records = ConfirmedProducer(client, "record", TIMEOUT_S + 1.0)

    def close(self) -> None:
        self._open.close()

    def submit(self, jobs: Sequence[RoutedJob]) -> list[SluiceError | None]:
        """Submit jobs and wait until they are accepted; return for each why it was refused, or None.

        Raises Unreachable; then some may have been accepted.
        """
        refused: list[SluiceError | None] = [self._queue(job) for job in jobs]
        try:
            self._jobs.flush()
        except Unreachable:
            raise
        except SluiceError:  # Kafka refuses one of them, such as a record that is too large for its topic
            refused = [found or self._submit_alone(job) for job, found in zip(jobs, refused, strict=True)]
        return refused

    def publish(self, pieces: Iterable[Piece], dead: Iterable[tuple[ReadRecord, SluiceError]]) -> None:
        """Publish parts of joins and dead letters, and wait until they are confirmed. Raises Unreachable."""
        for piece in pieces:
            self._records.produce(self._names.join_parts, piece.encode(), piece.case.partitioner)
        for record, error in dead:
            self._dead_letter(record, error)
        self._flush()

    def keep(self, entries: Iterable[Kept]) -> None:
        """Write entries of the joins' state, and wait until they are confirmed. Raises Unreachable."""
        for entry in entries:
            self._records.produce(self._names.join_state, entry.value, entry.key, partition=entry.partition)
        self._flush()

    def _queue(self, job: RoutedJob) -> SluiceError | None:
        try:
            self._jobs.submit_nowait(job.processor, job.input, **job.options)
        except REFUSALS as error:
            return error
        except UnknownSchema as error:  # the schemas of this version are not registered yet
            raise Unreachable(error.message, next_step=error.next_step) from error
        except Unreachable:
            raise
        except Exception as error:  # noqa: BLE001 - a bug in one job must not keep the router from the next record
            return as_bug(error)
        return None

    def _submit_alone(self, job: RoutedJob) -> SluiceError | None:
        """Return why Kafka refuses this job, None if it is accepted. Raises Unreachable."""
        try:
            self._jobs.submit(job.processor, job.input, **job.options)
        except Unreachable:
            raise
        except SluiceError as error:
            cause = getattr(error.__cause__, "args", (None,))[0]
            if isinstance(error, REFUSALS) or (isinstance(cause, KafkaError) and kafka.refused(cause)):
                return error
            raise Unreachable(error.message, next_step=error.next_step) from error
        return None

    def _dead_letter(self, record: ReadRecord, error: SluiceError) -> None:
        reason = dead_letter_headers(
            reason=str(error.code),
            message=str(error)[:500],
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            attempts=1,
            worker=self._worker_id,
        )
        headers: Any = [*(pair for pair in record.headers if pair[0] not in reason), *reason.items()]
        self._records.produce(self._names.dead_letters, record.value, record.key, headers)

    def _flush(self) -> None:
        try:
            self._records.flush()
        except Unreachable:
            raise
        except SluiceError as error:  # nothing of these may be left out; the records are read again
            raise Unreachable(error.message, next_step=error.next_step) from error
