"""The sink's loop, from joining the consumer group until it leaves the group or is fenced.

    poll ─▶ decode ─▶ hold back what may wait ─▶ fold ─▶ one statement ─▶ deliveries handed off ─▶ outcomes published

Live results never wait: an idle sink stores one event at a time, a busy one all that came while it stored the last batch.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from confluent_kafka import KafkaError, Message

from connectors.sink_store import OffsetRow, SinkStore, Stored
from schemas.errors import UndecodableRecord, Unreachable
from streams import logs
from streams.engine_results import EngineResults
from streams.log import kafka
from streams.log.polling import poll_batch
from streams.log.port import LogConsumer
from streams.notify.service import ProgressRule
from streams.settings import Settings
from streams.sink.assignment import ASSIGNOR, SinkAssignment
from streams.sink.batching import EventBatches
from streams.sink.dead_letters import DeadLetters
from streams.sink.decode import EventDecoder
from streams.sink.event import Event
from streams.sink.event_buffer import EventBuffer
from streams.sink.fold import JobFold
from streams.sink.handoff import DeliveryHandoff
from streams.sink.lease_fence import LeaseFence
from streams.sink.offset_mirror import OffsetMirror
from streams.sink.outcomes import OutcomePublisher
from streams.sink.patience import Patience
from streams.sink.positions import Key, Positions
from streams.sink.rows import delivery_id, pending_delivery
from streams.sink.suspects import BATCH, Suspects
from streams.sink.topic_table import TopicTable
from streams.sink.waiting import WaitingRecords, size_of
from streams.sink.winners import OutcomeEncoder, StoredWinners, batch_losers, batch_winners
from streams.sink.writer import BatchWriter

log = logs.get("sink")

IDLE_S = 0.1
#: Bytes of the records that are polled, decoded and stored at once.
BATCH_BYTES = 16 * 1024 * 1024


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
        read_table: Callable[[], TopicTable],
        suspects: Suspects,
        progress_rule: ProgressRule | None = None,
    ) -> None:
        group = f"{settings.topic_prefix}sink"
        self._decoder = decoder
        self._outcomes = outcomes
        self._outcome_encoder = OutcomeEncoder(decoder, settings.topics, engine_results)
        self._handoff = handoff
        self._suspects = suspects
        self._patience = Patience(settings)
        self._writer = BatchWriter(store, dead_letters, stop, self._patience, progress_rule)
        self._stored_winners = StoredWinners(store, stop, self._patience)
        self._buffer = EventBuffer()
        self._waiting = WaitingRecords()
        self._fence = LeaseFence(store, decoder, stop, self._patience)
        self._batches = EventBatches(decoder, self._buffer, self._waiting, dead_letters, suspects)
        self._positions = Positions(group)
        self.assignment = SinkAssignment(group, store, self._positions, read_table, self.settle, self._forget)
        # Start offsets come from the store and are checked against the log: one that the log does not have is an error.
        config = {"auto.offset.reset": "error", "group.remote.assignor": ASSIGNOR}
        self._consumer: LogConsumer = kafka.consumer(settings, group, **config)
        self._mirror = OffsetMirror(self._consumer, self._positions)
        self._paused = False
        self._unsaved = False

    @property
    def partitions(self) -> int:
        """The number of assigned partitions. Read from other threads."""
        return len(self._positions)

    @property
    def waiting(self) -> int:
        """The number of records that wait for the schema registry. Read from other threads."""
        return len(self._waiting)

    def subscribe(self, table: TopicTable) -> None:
        """Read the table's topics from now on."""
        self._decoder.table = self._writer.table = self.assignment.table = table
        on = self.assignment
        self._consumer.subscribe(list(table.topics), on_assign=on.on_assign, on_revoke=on.on_revoke, on_lost=on.on_lost)

    def follow(self, table: TopicTable) -> None:
        """Subscribe again if topics were created or deleted. Raises TopicMadeAgain."""
        self.assignment.check(table)
        known = self._decoder.table.topics
        if not table.topics.items() <= known.items():
            # Deleted topics stay in the table, because their partitions are yet to be revoked.
            self.subscribe(TopicTable({**known, **table.topics}))

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def step(self) -> None:
        """Run one turn of the loop. Raises Fenced, Stopped, Unreachable, TopicMadeAgain."""
        messages = self._poll()
        self._patience.renew()
        with self._all_or_nothing():
            self._positions.published(self._outcomes.poll())
            for part in self._parts([*self._waiting.due(time.monotonic()), *messages]):
                self._waiting.remove(part)
                self._handle(part)

    def settle(self) -> None:
        """Store and publish everything that was read, before another sink takes over.

        After a failed step it does nothing: records that were read may not be stored, so the next owner has to read them
        again from the stored offsets.
        """
        if self._unsaved:
            log.warning("not_settled_after_failed_step", next="the next owner reads again from the stored offsets")
            return
        self._patience.renew()
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
        self._read_or_pause()
        messages = poll_batch(self._consumer, BATCH, IDLE_S if wait is None else min(wait, IDLE_S), BATCH_BYTES)
        self.assignment.raise_error()
        return self.assignment.usable(self._consumer, [message for message in messages if _is_record(message)])

    def _read_or_pause(self) -> None:
        """Read no more records while those that wait for the registry are too many; poll all the same, to stay a member."""
        if self._waiting.full:
            self._paused = True
            self._consumer.pause(self._consumer.assignment())
        elif self._paused:
            self._paused = False
            self._consumer.resume(self._consumer.assignment())

    def _forget(self, key: Key) -> None:
        for holder in (self._buffer, self._waiting, self._mirror):
            holder.forget(key)

    # ── storing ──

    def _parts(self, messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
        """Split messages in their order: a part that is handled must not pass a record of a later one."""
        for part in parts(messages):
            yield from self._suspects.split(part) if self._suspects.searching else (part,)

    def _handle(self, messages: Sequence[Message]) -> None:
        self._suspects.trying(messages)
        fresh: list[Message] = []
        stored: list[Message] = []
        for message in messages:
            key = self.assignment.key(message)
            (fresh if self._positions.mark_read(key, message.offset() or 0) else stored).append(message)
        if stored:
            self._publish_again(stored)
        events = self._batches.take(fresh)
        self._suspects.joined_by(event.message for event in events)
        self._writer.letters += self._batches.take_letters()
        if events or self._writer.letters or (self._mirror.due and self._offset_rows()):
            self._write(events)
        self._mirror.commit()
        self._suspects.passed()

    def _offset_rows(self) -> list[OffsetRow]:
        return self._positions.offset_rows(self._buffer.lowest, self._waiting.lowest)

    def _write(self, events: Sequence[Event]) -> None:
        later = self._fence.supersede_stale(events) if self._decoder.table.may_lease else events
        while later:
            folds, later = self._writer.fold(later)
            self._store_folds(folds, last=not later)
        if not events:
            self._store_folds([], last=True)

    def _store_folds(self, folds: Sequence[JobFold], *, last: bool) -> None:
        offsets = self._offset_rows()
        if not folds and not offsets:
            return
        if not last:  # the events of later folds are not stored yet: if this sink dies, they must be read again
            offsets = [row.standing_still() for row in offsets]
        notifier = self._handoff.notifier_id
        stored = self._writer.write(folds, offsets, notifier)
        self._positions.stored(offsets)
        winners = list(batch_winners(folds, stored))
        waiting = self._waiting_for_progress(stored, notifier)
        # Deliveries that were stored without a notifier are claimed from the store, maybe by another one.
        if notifier is not None:
            deliveries = (pending_delivery(job, winner, stored.decided_at) for job, winner in winners)
            mine = [one for one in deliveries if one is not None and one.delivery_id not in waiting]
            self._handoff.submit(notifier, mine)
        self._publish([*(winner for _, winner in winners), *self._won_before(folds, stored)])

    def _waiting_for_progress(self, stored: Stored, notifier: bytes | None) -> set[bytes]:
        """Return the deliveries of outcomes that are not sent yet, because a progress of their run is in flight."""
        if not stored.ended_after_progress:
            return set()
        free = self._writer.end_progress(stored.ended_after_progress, notifier)
        return {delivery_id(*run) for run in stored.ended_after_progress} - free

    def _won_before(self, folds: Sequence[JobFold], stored: Stored) -> list[Event]:
        """Return the losers that lost to themselves: they were stored before, but the answer was lost, or the sink ended."""
        won = self._stored_winners.among(batch_losers(folds, stored))
        if won:
            log.info("outcomes_stored_before", count=len(won))
            self._handoff.reconcile()
        return won

    def _publish(self, winners: Iterable[Event]) -> int:
        """Publish the winners' outcomes; return how many there are."""
        records = []
        for winner in winners:
            try:
                record = self._outcome_encoder.record(winner)
            except Unreachable:
                self._batches.wait(winner.message)
                continue
            if record is not None:
                records.append(record)
        self._outcomes.publish(records, self._positions.read_offsets(self._waiting.lowest))
        return len(records)

    def _publish_again(self, messages: Iterable[Message]) -> None:
        """Publish the outcomes of records that an earlier owner stored: it may have died before it published them."""
        candidates: list[Event] = []
        for message in messages:
            try:
                event = self._batches.decode(message)
            except Unreachable:
                self._batches.wait(message)
                continue
            except UndecodableRecord:
                continue
            if event is not None and event.terminal is not None:
                candidates.append(event)
        if count := self._publish(self._stored_winners.among(candidates)):
            log.info("outcomes_published_again", count=count)


def parts(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Split messages into parts of at most BATCH_BYTES, or of one message that is larger; without messages, one empty part."""
    part: list[Message] = []
    size = 0
    for message in messages:
        length = size_of(message)
        if part and size + length > BATCH_BYTES:
            yield part
            part, size = [], 0
        part.append(message)
        size += length
    yield part


def _is_record(message: Message) -> bool:
    """False for a topic that is gone. Raises Unreachable, SluiceError for any other error: the session begins again."""
    error = message.error()
    if error is None:
        return True
    if error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
        raise kafka.translate(error, "the sink read its topics")
    log.warning("topic_not_readable", topic=message.topic(), code=error.name())
    return False
