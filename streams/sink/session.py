"""The sink's loop, from joining the consumer group until it leaves the group or is fenced.

    poll ─▶ decode ─▶ hold back lone requests ─▶ fold ─▶ one statement ─▶ deliveries handed off ─▶ outcomes published

The loop has no timer: an idle sink stores one event at a time, a busy one everything that came while it stored the last batch.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from confluent_kafka import KafkaError, Message, TopicPartition

from connectors.sink_store import LogPosition, SinkStore
from schemas.errors import SluiceError, UndecodableRecord
from streams import logs
from streams.engine_results import EngineResults
from streams.log import kafka
from streams.log.polling import poll_batch
from streams.log.port import LogConsumer
from streams.log.reconnect import Stopped
from streams.settings import Settings
from streams.sink.batching import EventBatches
from streams.sink.dead_letters import DeadLetters
from streams.sink.decode import EventDecoder
from streams.sink.event import Event
from streams.sink.fold import JobFold, fold
from streams.sink.handoff import DeliveryHandoff
from streams.sink.lease_fence import LeaseFence
from streams.sink.offset_mirror import OffsetMirror
from streams.sink.outcomes import OutcomePublisher
from streams.sink.positions import Key, Positions
from streams.sink.request_buffer import RequestBuffer
from streams.sink.rows import pending_delivery
from streams.sink.topic_table import TopicRole, TopicTable
from streams.sink.winners import OutcomeEncoder, batch_winners, stored_winners
from streams.sink.writer import BatchWriter

log = logs.get("sink")

BATCH = 500
IDLE_S = 0.1


class Session:
    """Used by one thread. Kafka's rebalance callbacks run on it too, inside `poll`."""

    def __init__(
        self,
        settings: Settings,
        store: SinkStore,
        decoder: EventDecoder,
        outcomes: OutcomePublisher,
        dead_letters: DeadLetters,
        engine_results: EngineResults,
        handoff: DeliveryHandoff,
        stop: threading.Event,
    ) -> None:
        self._group = f"{settings.topic_prefix}sink"
        self._store = store
        self._decoder = decoder
        self._outcomes = outcomes
        self._outcome_encoder = OutcomeEncoder(decoder, settings.topics, engine_results)
        self._handoff = handoff
        self._writer = BatchWriter(store, dead_letters, stop)
        self._buffer = RequestBuffer()
        self._fence = LeaseFence(store, decoder, stop)
        self._batches = EventBatches(decoder, self._buffer, dead_letters, stop)
        self._positions = Positions(self._group)
        # Start offsets come from the store. If the log no longer has them, the partition is read from its beginning.
        self._consumer: LogConsumer = kafka.consumer(settings, self._group, **{"auto.offset.reset": "earliest"})
        self._mirror = OffsetMirror(self._consumer, self._positions)
        self._rebalance_error: SluiceError | Stopped | None = None
        self._unsaved = False

    @property
    def partitions(self) -> int:
        """The number of assigned partitions. Read from other threads."""
        return len(self._positions)

    def subscribe(self, table: TopicTable) -> None:
        """Read the table's topics from now on."""
        self._decoder.table = self._writer.table = table
        self._consumer.subscribe(
            list(table.topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def follow(self, table: TopicTable) -> None:
        """Subscribe again if topics were created or deleted."""
        known = self._decoder.table.topics
        if not table.topics.items() <= known.items():
            # Deleted topics stay in the table, because their partitions are yet to be revoked.
            self.subscribe(TopicTable({**known, **table.topics}))

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def step(self) -> None:
        """Run one turn of the loop. Raises Fenced, Stopped, Unreachable."""
        messages = self._poll()
        with self._all_or_nothing():
            self._positions.published(self._outcomes.poll())
            fresh: list[Message] = []
            stored: list[Message] = []
            for message in messages:
                (fresh if self._is_fresh(message) else stored).append(message)
            if stored:
                self._publish_again(stored)
            events = self._batches.take(fresh)
            if events or (self._mirror.due and self._positions.offset_rows(self._buffer.lowest)):
                self._write(events)
                self._mirror.commit()

    def settle(self) -> None:
        """Store and publish everything that was read, before another sink takes over.

        After a failed step it does nothing: records that were read may not be stored, so the next owner has to read them
        again from the stored offsets.
        """
        if self._unsaved:
            log.warning("not_settled_after_failed_step", next="the next owner reads again from the stored offsets")
            return
        with self._all_or_nothing():
            self._positions.published(self._outcomes.flush(5.0))
            while events := self._batches.take_held(BATCH):
                self._write(events)
            self._positions.published(self._outcomes.flush(5.0))
            self._write([])
            self._mirror.commit(wait=True)

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """If the body raises, records may have been read or taken from the buffer but not stored: settle nothing any more."""
        self._unsaved = True
        yield
        self._unsaved = False

    # ── reading ──

    def _poll(self) -> list[Message]:
        wait = self._buffer.wait_s(time.monotonic())
        messages = poll_batch(self._consumer, BATCH, IDLE_S if wait is None else min(wait, IDLE_S))
        if self._rebalance_error is not None:
            error, self._rebalance_error = self._rebalance_error, None
            raise error
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
        return self._decoder.table.topics[message.topic() or ""].topic_id, message.partition() or 0

    def _is_fresh(self, message: Message) -> bool:
        return self._positions.mark_read(self._key(message), message.offset() or 0)

    # ── storing ──

    def _write(self, events: Sequence[Event]) -> None:
        later = self._fence.supersede_stale(events) if self._decoder.table.may_lease else events
        while later:
            folds, later = fold(later)
            self._store_folds(folds, last=not later)
        if not events:
            self._store_folds([], last=True)

    def _store_folds(self, folds: Sequence[JobFold], *, last: bool) -> None:
        offsets = self._positions.offset_rows(self._buffer.lowest)
        if not folds and not offsets:
            return
        if not last:  # the events of later folds are not stored yet: if this sink dies, they must be read again
            offsets = [row.standing_still() for row in offsets]
        notifier = self._handoff.notifier_id
        stored = self._writer.write(folds, offsets, notifier)
        self._positions.stored(offsets)
        winners = list(batch_winners(folds, stored))
        if (
            notifier is not None
        ):  # deliveries stored without a notifier are claimed from the store, maybe by another one
            deliveries = (pending_delivery(job, winner, stored.decided_at) for job, winner in winners)
            self._handoff.submit(notifier, [delivery for delivery in deliveries if delivery is not None])
        self._publish(winner for _, winner in winners)

    def _publish(self, winners: Iterable[Event]) -> int:
        """Publish the winners' outcomes; return how many there are."""
        records = [record for winner in winners if (record := self._outcome_encoder.record(winner)) is not None]
        self._outcomes.publish(records, self._positions.read_offsets())
        return len(records)

    def _publish_again(self, messages: Iterable[Message]) -> None:
        """Publish the outcomes of records that an earlier owner stored: it may have died before it published them."""
        candidates: dict[LogPosition, Event] = {}
        for message in messages:
            try:
                event = self._batches.decode(message)
            except UndecodableRecord:
                continue
            if event is not None and event.terminal is not None:
                candidates[event.position] = event
        won = stored_winners(
            self._store, {position: (event.job_id, event.run) for position, event in candidates.items()}
        )
        if count := self._publish(candidates[position] for position in won):
            log.info("outcomes_published_again", count=count)

    # ── rebalances: called by librdkafka inside poll ──

    def _on_assign(self, consumer: LogConsumer, partitions: list[TopicPartition]) -> None:
        topics = self._decoder.table.topics
        keys = {(topics[p.topic].topic_id, p.partition): p.topic for p in partitions}
        try:
            self._store.learn_topics({topics[name].topic_id: name for name in set(keys.values())})
            claimed = self._store.claim(self._group, dict.fromkeys(keys, 0))
        except SluiceError as error:
            self._rebalance_error = error
            return
        starts = []
        for key, name in keys.items():
            publishes = topics[name].role in (TopicRole.RESULTS, TopicRole.DEAD_LETTERS)
            position = self._positions.assign(key, name, claimed[key], publishes)
            starts.append(TopicPartition(name, key[1], position.read))
        consumer.incremental_assign(starts)
        log.info("partitions_assigned", count=len(starts))

    def _on_revoke(self, consumer: LogConsumer, partitions: list[TopicPartition]) -> None:
        try:
            self.settle()
        except SluiceError as error:
            log.warning("not_settled_before_revoke", reason=str(error))
            self._rebalance_error = error  # records of partitions that stay assigned were lost as well: end the session
        except Stopped as error:
            log.warning("not_settled_before_revoke", reason=str(error))
            self._rebalance_error = error
        self._revoke(consumer, partitions)

    def _on_lost(self, consumer: LogConsumer, partitions: list[TopicPartition]) -> None:
        self._revoke(consumer, partitions)

    def _revoke(self, consumer: LogConsumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            key = self._decoder.table.topics[partition.topic].topic_id, partition.partition
            self._positions.revoke(key)
            self._buffer.forget(key)
            self._mirror.forget(key)
        consumer.incremental_unassign(partitions)
        log.info("partitions_revoked", count=len(partitions))
