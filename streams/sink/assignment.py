"""The sink's partitions from assignment to revocation: claimed in the store, compared with the log, read from there.

librdkafka calls `on_assign`, `on_revoke` and `on_lost` inside `poll`. An error of theirs is kept and raised after the poll.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from confluent_kafka import KafkaException, Message, TopicPartition

from connectors.sink_store import ClaimedOffsets, SinkStore
from schemas.errors import SluiceError
from streams import logs
from streams.log import kafka
from streams.log.not_ready import retry_until_ready
from streams.log.port import LogConsumer
from streams.sink.positions import Key, Positions
from streams.sink.topic_table import TopicRole, TopicTable

log = logs.get("sink")

#: Seconds that Kafka may take to say where a partition begins and ends.
WATERMARKS_S = 5.0
#: Kafka's assignor of the sinks' group: it spreads the partitions of each topic over the members. The broker's default,
#: "uniform", spreads only the number of partitions, so one sink may get all partitions of the only busy topic.
ASSIGNOR = "range"


class TopicMadeAgain(SluiceError):
    """A topic was deleted and created again. Its new records have the old offsets, so the session has to begin again."""


class SinkAssignment:
    """`read_table` lists the topics now; `settle` stores what was read; `forget` drops what is held of a partition."""

    def __init__(
        self,
        group: str,
        store: SinkStore,
        positions: Positions,
        read_table: Callable[[], TopicTable],
        settle: Callable[[], None],
        forget: Callable[[Key], None],
    ) -> None:
        self.table = TopicTable({})
        #: Records that retention deleted before the sink read them.
        self.gone = 0
        self._group = group
        self._store = store
        self._positions = positions
        self._read_table = read_table
        self._settle = settle
        self._forget = forget
        self._error: Exception | None = None
        # Within the poll that runs now: partitions that were revoked, and those assigned after that with their start.
        self._revoked: set[tuple[str, int]] = set()
        self._again: dict[tuple[str, int], int] = {}

    def raise_error(self) -> None:
        """Raise what a callback kept. Call it after each poll, before its messages are used."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def usable(self, consumer: LogConsumer, messages: Iterable[Message]) -> list[Message]:
        """Return the messages of assigned partitions. Partitions that were revoked and assigned again while these were polled
        are read again from their start: a message may be left over, and would move the new position past others."""
        again, self._revoked, self._again = self._again, set(), {}
        for place, start in again.items():
            consumer.seek(TopicPartition(*place, start))
        owned = [message for message in messages if self.key(message) in self._positions]
        return [m for m in owned if (m.topic(), m.partition()) not in again] if again else owned

    def key(self, message: Message) -> Key:
        return self.table.topics[message.topic() or ""].topic_id, message.partition() or 0

    def check(self, table: TopicTable) -> None:
        """Raise TopicMadeAgain if a topic has another id than when the session began."""
        for name in self.table.made_again(table):
            raise TopicMadeAgain(f"The topic {name} was made again while the sink read it.")

    # ── called by librdkafka inside poll ──

    def on_assign(self, consumer: LogConsumer, partitions: list[TopicPartition]) -> None:
        try:
            starts = self._starts(consumer, partitions)
        except Exception as error:  # noqa: BLE001 - raised after the poll
            self._error = error
            return
        places = {(start.topic, start.partition): start.offset for start in starts}
        self._again |= {place: offset for place, offset in places.items() if place in self._revoked}
        consumer.incremental_assign(starts)
        log.info("partitions_assigned", count=len(starts))

    def on_revoke(self, consumer: LogConsumer, partitions: list[TopicPartition]) -> None:
        try:
            self._settle()
        except Exception as error:  # noqa: BLE001 - raised after the poll: all partitions lost records
            log.warning("not_settled_before_revoke", reason=_reason(error))
            self._error = error
        self.on_lost(consumer, partitions)

    def on_lost(self, consumer: LogConsumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            key = self.table.topics[partition.topic].topic_id, partition.partition
            self._revoked.add((partition.topic, partition.partition))
            self._again.pop((partition.topic, partition.partition), None)
            self._positions.revoke(key)
            self._forget(key)
        consumer.incremental_unassign(partitions)
        log.info("partitions_revoked", count=len(partitions))

    # ── where to begin ──

    def _starts(self, consumer: LogConsumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Claim the partitions and return their start offsets. Raises Unreachable, TopicMadeAgain."""
        self.check(self._read_table())
        topics = self.table.topics
        keys = {(topics[p.topic].topic_id, p.partition): p.topic for p in partitions}
        ends = {key: _watermarks(consumer, name, key[1]) for key, name in keys.items()}
        self._store.learn_topics({topics[name].topic_id: name for name in set(keys.values())})
        claimed = self._store.claim(self._group, dict.fromkeys(keys, 0))
        starts = []
        for key, name in keys.items():
            publishes = topics[name].role in (TopicRole.RESULTS, TopicRole.DEAD_LETTERS)
            self._compare(name, key[1], claimed[key], ends[key])
            position = self._positions.assign(key, name, claimed[key], publishes, ends[key])
            starts.append(TopicPartition(name, key[1], position.read))
        return starts

    def _compare(self, topic: str, partition: int, claimed: ClaimedOffsets, log_ends: tuple[int, int]) -> None:
        """Say so if the log no longer has what comes next. The jobs still end: the timekeeper ends those without a result."""
        begin, end = log_ends
        place = {"topic": topic, "partition": partition, "stored": claimed.next_offset, "begins_at": begin}
        if claimed.next_offset > end:
            log.error("log_truncated", **place, ends_at=end, next="the partition is read again from its beginning")
        elif 0 < claimed.next_offset < begin:
            gone = begin - claimed.next_offset
            self.gone += gone
            log.error("unread_records_gone", **place, records=gone, next="raise the topic's retention")


def _watermarks(consumer: LogConsumer, topic: str, partition: int) -> tuple[int, int]:
    asked = partial(consumer.get_watermark_offsets, TopicPartition(topic, partition), timeout=WATERMARKS_S)
    try:
        return retry_until_ready(asked)
    except KafkaException as error:
        raise kafka.translate(error, f"finding the ends of {topic}") from error


def _reason(error: Exception) -> str:
    # Only the type of an unforeseen one: its text may quote a value.
    return str(error) if isinstance(error, SluiceError) else type(error).__name__
