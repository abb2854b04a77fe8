"""Subscribes to `outcomes.<processor>`: each final word once, in a consumer group. Needs the extra `sluice-client[kafka]`.

For programs that can reach Kafka and want every outcome without a callback. Everything else is done through the gateway.
"""

from __future__ import annotations

import io
import json
import struct
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import fastavro
import httpx
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaException, Message, TopicPartition

from sluice_client.client import run
from sluice_client.context import Context
from sluice_client.errors import SluiceError, UnexpectedAnswer, Unreachable, UsageError
from sluice_client.exchange import exchange
from sluice_client.models import Claim, JobError
from sluice_client.parse import json_of
from sluice_client.settings import Settings

#: Records before the committed offset whose keys are read again, because the sink publishes an outcome again after a crash.
LOOK_BACK = 1000
#: Keys that are remembered, to leave out repetitions.
MOST_KEYS = 100_000
COMMIT_EVERY_S = 1.0
_POLL_S = 0.5
_FRAME = struct.Struct(">bI")
_STATUS = {"succeeded": "COMPLETED", "cancelled": "CANCELLED"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A job's final word. `record` is the whole Avro record."""

    job_id: str
    run: int
    processor: str
    tenant: str
    status: str
    output: Mapping[str, Any] | None
    error: JobError | None
    model_version: str
    device: str
    external_id: str | None
    case_id: str | None
    upload_id: str | None
    batch_id: str | None
    labels: Mapping[str, str]
    #: Files that the job has stored.
    files: tuple[Claim, ...]
    record: Mapping[str, Any] = field(repr=False)


def subscribe(
    processor: str,
    group: str,
    *,
    from_start: bool = True,
    shadow_runs: bool = False,
    bootstrap_servers: str | None = None,
    registry_url: str | None = None,
    topic_prefix: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> OutcomeSubscription:
    """Join a consumer group that shares the outcomes of a processor among its members, and return the subscription.

    `from_start`: whether a new group begins with the outcomes that are kept (30 days), or with those from now on. Addresses
    default to KAFKA_BOOTSTRAP_SERVERS, SCHEMA_REGISTRY_URL and SLUICE_TOPIC_PREFIX. `shadow_runs`: whether to hand out outcomes
    of shadow runs, too, which test another version and never count. `config`: further settings of librdkafka;
    `group.protocol: classic` for a broker before 4.0.
    """
    settings = Settings.from_environment()
    servers = bootstrap_servers or settings.bootstrap_servers
    registry = Context(registry_url or settings.registry_url)
    if not servers:
        raise UsageError("There is no address of Kafka.", "Set KAFKA_BOOTSTRAP_SERVERS, or pass bootstrap_servers.")
    prefix = settings.topic_prefix if topic_prefix is None else topic_prefix
    options = {
        "bootstrap.servers": servers,
        "group.id": group,
        "group.protocol": "consumer",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        **(config or {}),
    }
    return OutcomeSubscription(
        Consumer(options),
        f"{prefix}outcomes.{processor}",
        lambda schema_id: _schema(registry, schema_id),
        from_start=from_start,
        shadow_runs=shadow_runs,
        incremental=options["group.protocol"] == "consumer",
    )


class OutcomeSubscription:
    """An iterator of outcomes, and a context manager. For one thread.

    An outcome counts as handled when the next one is asked for; its offset is committed within a second. A process that dies
    gets the ones that were not committed again when it starts, so store them by (job_id, run). After an error of your own, open
    a new subscription: it begins with the outcome that was not handled.
    """

    def __init__(
        self,
        consumer: Any,
        topic: str,
        schema_of: Callable[[int], str],
        *,
        from_start: bool = True,
        shadow_runs: bool = False,
        incremental: bool = True,
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self._schema_of = schema_of
        self._from_start = from_start
        self._shadow_runs = shadow_runs
        self._incremental = incremental
        self._schemas: dict[int, Any] = {}
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        #: By partition: the committed offset at the assignment, and the next offset of what was handled since.
        self._committed: dict[int, int] = {}
        self._handled: dict[int, int] = {}
        self._in_hand: Message | None = None
        self._next_commit = time.monotonic() + COMMIT_EVERY_S
        consumer.subscribe([topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def __enter__(self) -> OutcomeSubscription:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            self._in_hand_is_handled()
        self.close()

    def __iter__(self) -> Iterator[Outcome]:
        return self

    def __next__(self) -> Outcome:
        """Wait for the next outcome, without limit."""
        while True:
            if (outcome := self.poll(_POLL_S)) is not None:
                return outcome

    def poll(self, timeout_s: float) -> Outcome | None:
        """Return the next outcome; None if there is none within `timeout_s`. The one before counts as handled."""
        self._in_hand_is_handled()
        until = time.monotonic() + timeout_s
        while (left := until - time.monotonic()) >= 0:
            if time.monotonic() >= self._next_commit:
                self._commit()
            message = self._consumer.poll(min(left, _POLL_S))
            if message is not None and self._is_new(message):
                outcome = self._outcome(message)
                if self._shadow_runs or outcome.record["header"].get("mode") != "shadow":
                    self._in_hand = message
                    return outcome
                self._done(message)
        return None

    def close(self) -> None:
        """Commit what was handled, and leave the group. The last outcome counts as handled only at the end of a `with` block
        that no error ends."""
        self._commit(leaving=True)
        self._consumer.close()

    def _in_hand_is_handled(self) -> None:
        if self._in_hand is not None:
            self._done(self._in_hand)
            self._in_hand = None

    def _done(self, message: Message) -> None:
        number = int(message.partition() or 0)
        if number in self._committed:  # else it was revoked meanwhile
            self._handled[number] = int(message.offset() or 0) + 1

    def _is_new(self, message: Message) -> bool:
        """Remember the key; return whether the outcome was neither handed out nor committed before."""
        if (error := message.error()) is not None:
            if error.retriable():
                return False
            raise _error(f"Reading {self._topic}: {error.str()}.")
        key = message.key() or b""
        repeated = key in self._seen
        self._seen[key] = None
        self._seen.move_to_end(key)
        if len(self._seen) > MOST_KEYS:
            self._seen.popitem(last=False)
        if int(message.offset() or 0) < self._committed.get(int(message.partition() or 0), 0):
            return False
        if repeated or message.value() is None:
            self._done(message)
            return False
        return True

    def _assigned(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """Start a little before the committed offsets, to know the keys of the last outcomes."""
        reset = OFFSET_BEGINNING if self._from_start else OFFSET_END
        places = []
        for place in consumer.committed(partitions, 30):
            self._committed[place.partition] = max(place.offset, 0)
            start = reset if place.offset < 0 else max(place.offset - LOOK_BACK, 0)
            places.append(TopicPartition(self._topic, place.partition, start))
        (consumer.incremental_assign if self._incremental else consumer.assign)(places)

    def _revoked(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self._commit(leaving=True)
        self._lost(consumer, partitions)

    def _lost(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        for place in partitions:
            self._committed.pop(place.partition, None)
            self._handled.pop(place.partition, None)
        if self._incremental:
            consumer.incremental_unassign(partitions)

    def _commit(self, leaving: bool = False) -> None:
        """Commit what was handled. A commit that fails while leaving costs a repetition for the next owner, no more."""
        self._next_commit = time.monotonic() + COMMIT_EVERY_S
        offsets = [TopicPartition(self._topic, number, offset) for number, offset in self._handled.items()]
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            if not leaving and not error.args[0].retriable():
                raise _error(f"Committing to {self._topic}: {error.args[0].str()}.") from error
        else:
            self._handled.clear()

    def _outcome(self, message: Message) -> Outcome:
        value = message.value() or b""
        if len(value) < _FRAME.size or value[0] != 0:
            raise UnexpectedAnswer(f"A record of {self._topic} has no schema id.", _where(message))
        schema_id: int = _FRAME.unpack_from(value)[1]
        if schema_id not in self._schemas:
            self._schemas[schema_id] = fastavro.parse_schema(json.loads(self._schema_of(schema_id)))
        body = io.BytesIO(value)
        body.seek(_FRAME.size)
        try:
            record = fastavro.schemaless_reader(body, self._schemas[schema_id], None)
            return outcome_of(record if isinstance(record, dict) else {})
        except (EOFError, IndexError, KeyError, TypeError, ValueError) as error:
            raise UnexpectedAnswer(f"A record of {self._topic} can't be read.", _where(message)) from error


def outcome_of(record: Mapping[str, Any]) -> Outcome:
    """Return the outcome in a Result record. Raises KeyError if it is none."""
    header, result = record["header"], record["result"]
    error = result.get("error")
    status = _STATUS.get(result["disposition"], "FAILED")
    if status == "FAILED" and error and error["code"] == "DEADLINE_EXCEEDED":
        status = "EXPIRED"
    return Outcome(
        header["job_id"],
        header["run"],
        header["processor"],
        header["tenant"],
        status,
        record.get("output"),
        JobError(error["code"], error["message"]) if error else None,
        result["model_version"],
        result["device"],
        header["external_id"],
        header["case_id"],
        header["upload_id"],
        header["batch_id"],
        header["labels"],
        tuple(Claim(ref["uri"], ref["sha256"], ref["size"], ref["content_type"]) for ref in result["output_refs"]),
        record,
    )


def _schema(registry: Context, schema_id: int) -> str:
    try:
        with httpx.Client() as http:
            answer = run(http, registry.limits, exchange(registry, registry.request("GET", f"schemas/ids/{schema_id}")))
        return str(json_of(answer.body)["schema"])
    except (SluiceError, KeyError, TypeError) as error:
        raise Unreachable(f"The registry did not give schema {schema_id}.", "Check SCHEMA_REGISTRY_URL.") from error


def _error(message: str) -> SluiceError:
    return Unreachable(message, "Check KAFKA_BOOTSTRAP_SERVERS, the processor's name and SLUICE_TOPIC_PREFIX.")


def _where(message: Message) -> str:
    return f"It is {message.topic()}:{message.partition()}:{message.offset()}; `sluice tail` shows it."
