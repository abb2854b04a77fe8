"""One membership of the sink's consumer group: from joining it to leaving, or to being fenced.

    poll ─▶ read ─▶ hold back lone requests ─▶ fold ─▶ one statement ─▶ deliveries handed over ─▶ outcomes published

The loop has no timer: an idle sink stores one event at a time, and a busy one whatever came while the last batch was stored.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event as Flag
from typing import Protocol

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from connectors.store import LogPosition, SinkStore, Stored, Unstorable
from schemas.errors import SluiceError, UndecodableRecord
from schemas.records import ErrorInfo
from streams import logs
from streams.engine_results import EngineResults
from streams.log import kafka
from streams.log.port import LogConsumer
from streams.log.retry import Stopped
from streams.notify.pending_delivery import PendingDelivery
from streams.settings import Settings
from streams.sink.batching import EventBatches
from streams.sink.dead_letters import DeadLetters
from streams.sink.decode import EventDecoder
from streams.sink.event import Event
from streams.sink.fold import JobFold, fold
from streams.sink.leases import LeaseFence
from streams.sink.outcomes import OutcomePublisher, OutcomeRecord
from streams.sink.positions import Key, Positions
from streams.sink.request_buffer import RequestBuffer
from streams.sink.rows import owed_by
from streams.sink.topic_table import TopicRole, TopicTable
from streams.sink.writer import BatchWriter

log = logs.get("sink")

BATCH = 500
IDLE_S = 0.1
#: How often offsets that only say "published" are stored and mirrored to Kafka, where lag tools look.
MIRROR_S = 1.0


class DeliveryHandoff(Protocol):
    """Who takes deliveries right after the commit. What nobody takes is claimed from the store."""

    @property
    def taker(self) -> bytes | None:
        """Whose deliveries the next batch's will be; None: nobody's yet."""
        ...

    def hand(self, owed: Sequence[PendingDelivery]) -> None:
        """Stored under `taker` just now."""
        ...


class NoHandoff:
    """Where notify is a service of its own."""

    taker: bytes | None = None

    def hand(self, owed: Sequence[PendingDelivery]) -> None:
        return None


class Session:
    """Belongs to one thread; Kafka's rebalance callbacks run on it too, inside `poll`."""

    def __init__(
        self,
        settings: Settings,
        store: SinkStore,
        reader: EventDecoder,
        outcomes: OutcomePublisher,
        dead_letters: DeadLetters,
        verdicts: EngineResults,
        handover: DeliveryHandoff,
        stop: Flag,
    ) -> None:
        self._names = settings.topics
        self._group = f"{settings.topic_prefix}sink"
        self._store = store
        self._reader = reader
        self._outcomes = outcomes
        self._dead_letters = dead_letters
        self._verdicts = verdicts
        self._handover = handover
        self._writer = BatchWriter(store, dead_letters, stop)
        self._held = RequestBuffer()
        self._fence = LeaseFence(store, reader, stop)
        self._intake = EventBatches(reader, self._held, dead_letters, stop)
        self._positions = Positions(self._group)
        self._consumer: LogConsumer = kafka.consumer(
            # Offsets come from the store. Where the log no longer has them, its beginning is what is left.
            settings,
            self._group,
            **{"auto.offset.reset": "earliest"},
        )
        self._trouble: SluiceError | None = None
        self._unsaved = False
        self._mirrored_at = 0.0
        self._mirrored: dict[Key, int] = {}

    @property
    def partitions(self) -> int:
        """How many it owns. Read from other threads."""
        return len(self._positions)

    def subscribe(self, table: TopicTable) -> None:
        """Read these topics from now on."""
        self._reader.table = self._writer.table = table
        self._consumer.subscribe(
            list(table.topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def follow(self, table: TopicTable) -> None:
        """Subscribe anew if topics have come or gone."""
        known = self._reader.table.topics
        if not table.topics.items() <= known.items():
            # What is gone stays known: its partitions are still to be given back.
            self.subscribe(TopicTable({**known, **table.topics}))

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def step(self) -> None:
        """One turn of the loop. Raises Fenced, Stopped, Unreachable."""
        messages = self._poll()
        with self._all_or_nothing():
            self._confirm(self._outcomes.poll())
            fresh: list[Message] = []
            stored: list[Message] = []
            for message in messages:
                (fresh if self._is_fresh(message) else stored).append(message)
            if stored:
                self._publish_again(stored)
            ready = self._intake.take(fresh)
            if ready or self._mirror_is_due():
                self._write(ready)
                self._mirror()

    def settle(self) -> None:
        """Store and publish everything that was read, before another sink takes over.

        After a failed step it does nothing: the positions may lie behind records that were never stored, so the next owner
        has to read them again from the stored offsets.
        """
        if self._unsaved:
            log.warning("not_settled_after_failed_step", next="the next owner reads again from the stored offsets")
            return
        with self._all_or_nothing():
            self._confirm(self._outcomes.flush(5.0))
            while held := self._intake.take_held(BATCH):
                self._write(held)
            self._confirm(self._outcomes.flush(5.0))
            self._write([])
            self._mirror(wait=True)

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """If the body raises, records may have been read or taken from hold without being stored: settle nothing any more."""
        self._unsaved = True
        yield
        self._unsaved = False

    # ── reading ──

    def _poll(self) -> list[Message]:
        wait = self._held.wait_s(time.monotonic())
        first = self._consumer.poll(IDLE_S if wait is None else min(wait, IDLE_S))
        if self._trouble is not None:
            trouble, self._trouble = self._trouble, None
            raise trouble
        if first is None:
            return []
        messages = [first, *self._consumer.consume(BATCH - 1, 0)]
        return [message for message in messages if self._usable(message)]

    def _usable(self, message: Message) -> bool:
        error = message.error()
        if error is not None:
            if error.code() not in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._AUTO_OFFSET_RESET):
                raise kafka.translate(error, "the sink read its topics")
            log.warning("topic_not_readable", topic=message.topic(), code=error.name())
            return False
        return self._key(message) in self._positions

    def _key(self, message: Message) -> Key:
        return self._reader.table.topics[message.topic() or ""].topic_id, message.partition() or 0

    def _is_fresh(self, message: Message) -> bool:
        return self._positions.saw(self._key(message), message.offset() or 0)

    # ── storing ──

    def _write(self, events: Sequence[Event]) -> None:
        later = self._fence.look(events) if self._reader.table.may_lease else events
        while later:
            folds, later = fold(later)
            self._store_folds(folds, last=not later)
        if not events:
            self._store_folds([], last=True)

    def _store_folds(self, folds: Sequence[JobFold], *, last: bool) -> None:
        offsets = self._positions.steps(self._held.lowest)
        if not folds and not offsets:
            return
        if not last:  # what has not been stored yet must be read again if this sink dies
            offsets = [row.standing_still() for row in offsets]
        stored = self._writer.write(folds, offsets, self._handover.taker)
        self._positions.stored(offsets)
        won = list(winners(folds, stored))
        self._handover.hand([owed for job, end in won if (owed := owed_by(job, end, stored.decided_at)) is not None])
        self._outcomes.publish(
            (outcome for _, end in won if (outcome := self._outcome(end)) is not None), self._positions.read_offsets()
        )

    def _outcome(self, end: Event) -> OutcomeRecord | None:
        topic = self._reader.table.topics[end.message.topic() or ""]
        assert end.ending is not None
        value = end.ending.value or self._verdict(end)
        if value is None:
            return None
        key = f"{end.header['job_id']}:{end.run}".encode()
        return OutcomeRecord(self._names.outcomes(topic.processor or end.header["processor"]), key, value)

    def _verdict(self, end: Event) -> bytes | None:
        """The Result of a job whose own could not be used; None where nobody could read it (an unknown processor's)."""
        error = end.ending.error if end.ending is not None else None
        if error is None or end.kind != "dead_letter":
            return None
        return self._verdicts.failed_or_none(end.header, ErrorInfo(error["code"], error["message"], "", error["code"]))

    def _publish_again(self, messages: Iterable[Message]) -> None:
        """Records that an earlier owner stored, whose outcomes it may not have published."""
        ends: dict[LogPosition, Event] = {}
        for message in messages:
            try:
                event = self._intake.read(message)
            except UndecodableRecord:
                continue
            if event is not None and event.ending is not None:
                ends[event.place] = event
        won = self._winners({place: (end.job_id, end.run) for place, end in ends.items()})
        outcomes = [outcome for place in won if (outcome := self._outcome(ends[place])) is not None]
        if outcomes:
            log.info("outcomes_published_again", count=len(outcomes))
        self._outcomes.publish(outcomes, self._positions.read_offsets())

    def _winners(self, candidates: dict[LogPosition, tuple[bytes, int]]) -> set[LogPosition]:
        """Those that have an outcome; a candidate that Postgres can't even be asked about never got one."""
        if not candidates:
            return set()
        try:
            return self._store.winners(candidates)
        except Unstorable:
            if len(candidates) == 1:
                return set()
            places = list(candidates)
            half = len(places) // 2
            return self._winners({place: candidates[place] for place in places[:half]}) | self._winners(
                {place: candidates[place] for place in places[half:]}
            )

    # ── offsets ──

    def _confirm(self, upto: dict[Key, int]) -> None:
        self._positions.published(upto)

    def _mirror_is_due(self) -> bool:
        return time.monotonic() - self._mirrored_at >= MIRROR_S and bool(self._positions.steps(self._held.lowest))

    def _mirror(self, *, wait: bool = False) -> None:
        """Show Kafka how far everything is done."""
        now = time.monotonic()
        if not wait and now - self._mirrored_at < MIRROR_S:
            return
        self._mirrored_at = now
        done = {
            key: position for key, position in self._positions.items() if position.published != self._mirrored.get(key)
        }
        if not done:
            return
        places = [TopicPartition(position.topic, key[1], position.published) for key, position in done.items()]
        self._mirrored |= {key: position.published for key, position in done.items()}
        try:
            if wait:
                self._consumer.commit(offsets=places, asynchronous=False)
            else:
                self._consumer.commit(offsets=places, asynchronous=True)
        except KafkaException as error:  # only lag tools read it
            log.warning("offsets_not_mirrored", reason=str(error))

    # ── rebalances: called by librdkafka inside poll ──

    def _on_assign(self, consumer: LogConsumer, partitions: list[TopicPartition]) -> None:
        topics = self._reader.table.topics
        keys = {(topics[place.topic].topic_id, place.partition): place.topic for place in partitions}
        try:
            self._store.learn_topics({topics[name].topic_id: name for name in set(keys.values())})
            claimed = self._store.claim(self._group, dict.fromkeys(keys, 0))
        except SluiceError as error:
            self._trouble = error
            return
        starts = []
        for key, name in keys.items():
            publishes = topics[name].part in (TopicRole.RESULTS, TopicRole.DEAD_LETTERS)
            position = self._positions.own(key, name, claimed[key], publishes)
            starts.append(TopicPartition(name, key[1], position.read))
        consumer.incremental_assign(starts)
        log.info("partitions_assigned", count=len(starts))

    def _on_revoke(self, consumer: LogConsumer, partitions: list[TopicPartition]) -> None:
        try:
            self.settle()
        except SluiceError as error:
            log.warning("not_settled_before_revoke", reason=str(error))
            self._trouble = error  # partitions that stay with this sink lost records as well: the session has to end
        except Stopped as error:
            log.warning("not_settled_before_revoke", reason=str(error))
        self._drop(consumer, partitions)

    def _on_lost(self, consumer: LogConsumer, partitions: list[TopicPartition]) -> None:
        self._drop(consumer, partitions)

    def _drop(self, consumer: LogConsumer, partitions: list[TopicPartition]) -> None:
        for place in partitions:
            key = self._reader.table.topics[place.topic].topic_id, place.partition
            self._positions.disown(key)
            self._held.forget(key)
            self._mirrored.pop(key, None)
        consumer.incremental_unassign(partitions)
        log.info("partitions_revoked", count=len(partitions))


def winners(folds: Iterable[JobFold], stored: Stored) -> Iterable[tuple[JobFold, Event]]:
    """The ends that are their runs' outcomes now."""
    for job in folds:
        for number, run in job.runs.items():
            if run.winner is not None and (run.winner.job_id, number) not in stored.losers:
                yield job, run.winner
