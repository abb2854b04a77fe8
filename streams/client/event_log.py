"""Reads progress and outcomes on a thread of its own: one consumer per gateway, in no group, however many streams are open."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Generic, NamedTuple, TypeVar

from confluent_kafka import OFFSET_END, KafkaException, Message, TopicPartition

from schemas.avsc import result_schema, self_contained
from schemas.codec import Codec
from schemas.errors import SluiceError
from streams import logs, wiring
from streams.client.event_record import PROGRESS, EventRecord, Key
from streams.log import kafka
from streams.log.memory.partitioner import partition_of
from streams.log.polling import poll_batch
from streams.log.port import LogConsumer
from streams.log.watermarks import watermarks
from streams.settings import Settings

log = logs.get("gateway")

#: Records of one read.
BATCH = 1_000
#: Seconds that a read waits for its first record.
POLL_S = 0.25
#: A gateway begins so many seconds back, so that clients of one that was restarted continue from memory; and so many
#: records back at most, by partition.
BACK_S = 60.0
MOST_BACK = 5_000
#: Seconds that an outcome waits at most for the text that was written before it.
HOLD_S = 1.0
#: Seconds until the log is opened again after an error.
RESTART_S = 1.0
#: Seconds between two looks for new partitions.
LOOK_S = 30.0


R = TypeVar("R", bound=EventRecord)


class Reached(NamedTuple, Generic[R]):
    """New records, and where the reading stands: the next offset of every partition. `caught_up`: everything that the log had
    when it was opened has been read."""

    records: list[R]
    positions: dict[Key, int]
    caught_up: bool


class EventLog(Generic[R]):
    """`make` makes a record of a topic's short name and a message. `deliver` is called with every batch, in the order of each
    partition; it may block. `wanted` says whether anyone follows a job: then its outcome is delivered after all progress of the
    job that the log had before it."""

    def __init__(
        self,
        settings: Settings,
        codec: Codec,
        make: Callable[[str, Message], R],
        deliver: Callable[[Reached[R]], None],
        wanted: Callable[[str], bool],
    ) -> None:
        self._settings = settings
        self._codec = codec
        self._make = make
        self._deliver = deliver
        self._wanted = wanted
        self._names = {settings.topics.progress: PROGRESS} | {
            settings.topics.outcomes(made.name): made.name for made in wiring.contracts(settings)
        }
        self._topics = {name: topic for topic, name in self._names.items()}
        self._positions: dict[Key, int] = {}
        self._ends: dict[Key, int] = {}  # when the log was opened; emptied once they are reached
        self._held: deque[tuple[R, Key | None, int, float]] = deque()
        #: Set it to end `run`.
        self.stop = threading.Event()

    def topic(self, name: str) -> str | None:
        """Return the topic of a short name."""
        return self._topics.get(name)

    def record(self, message: Message) -> R:
        return self._make(self._names[message.topic() or ""], message)

    def partitions(self, name: str) -> int:
        """Return how many partitions of a topic are read."""
        return sum(1 for key in self._positions if key[0] == name)

    # ── the thread ──

    def run(self) -> None:
        """Read until `stop` is set."""
        while not self.stop.is_set():
            try:
                self._learn_schemas()
                with closing(kafka.reader(self._settings, **{"fetch.wait.max.ms": 500})) as consumer:
                    self._read(consumer)
            except (SluiceError, KafkaException) as error:
                log.warning("session_restarted", component="events", reason=str(error))
                self.stop.wait(RESTART_S)

    def _learn_schemas(self) -> None:
        """Fetch our own schemas now: a stream decodes on the event loop, which must not wait for the registry."""
        self._codec.encoder(f"{self._settings.topics.progress}-value", self_contained("Progress"))
        for made in wiring.contracts(self._settings):
            self._codec.encoder(f"{self._settings.topics.results(made.name)}-value", result_schema(made))

    def _read(self, consumer: LogConsumer) -> None:
        self._assign(consumer)
        self._held.clear()
        looked = time.monotonic()
        while not self.stop.is_set():
            messages = poll_batch(consumer, BATCH, POLL_S if not self._held else 0.005)
            ready = [record for message in messages if (record := self._taken(consumer, message)) is not None]
            ready += self._released()
            if ready or self._ends:
                self._ends = {key: end for key, end in self._ends.items() if self._positions[key] < end}
                self._deliver(Reached(ready, self._delivered(), not self._ends))
            if time.monotonic() - looked > LOOK_S:
                looked = time.monotonic()
                self._assign(consumer)

    def _taken(self, consumer: LogConsumer, message: Message) -> R | None:
        """Return the record if it may be delivered now; hold an outcome back."""
        if (error := message.error()) is not None:
            raise kafka.translate(error, "reading events")
        record = self.record(message)
        self._positions[record.key] = record.offset + 1
        if not record.is_outcome or (not self._held and not self._wanted(record.job_id)):
            return record
        progress, end = self._progress_end(consumer, record)
        self._held.append((record, progress, end, time.monotonic() + HOLD_S))
        return None

    def _progress_end(self, consumer: LogConsumer, record: R) -> tuple[Key | None, int]:
        """Return the partition of the job's progress, and where it ends now."""
        count = self.partitions(PROGRESS)
        if not self._wanted(record.job_id) or not count:
            return None, 0
        key = (PROGRESS, partition_of(record.job_id.encode(), count))
        topic = self._topics[PROGRESS]
        return key, consumer.get_watermark_offsets(TopicPartition(topic, key[1]), timeout=HOLD_S)[1]

    def _released(self) -> list[R]:
        """Return the outcomes whose progress has been read, in their order."""
        released = []
        while self._held:
            record, key, end, until = self._held[0]
            if key is not None and self._positions[key] < end and time.monotonic() < until:
                break
            self._held.popleft()
            released.append(record)
        return released

    def _delivered(self) -> dict[Key, int]:
        """Return the next offset that is not delivered, by partition."""
        delivered = dict(self._positions)
        for record, *_ in self._held:
            delivered[record.key] = min(delivered[record.key], record.offset)
        return delivered

    def _assign(self, consumer: LogConsumer) -> None:
        """Read every partition: a known one from where it was left, a new one from its beginning, or a while back at the
        start."""
        first = not self._positions
        known = {(each.topic, each.partition) for each in consumer.assignment()}
        new: dict[tuple[str, int], int] = {}
        ends: dict[Key, int] = {}
        for topic, name in self._names.items():
            for partition, (low, high) in watermarks(consumer, topic).items():
                ends[name, partition] = high
                if (topic, partition) not in known:
                    at = self._delivered_of((name, partition))
                    new[topic, partition] = max(low, high - MOST_BACK) if first else max(low, at)
        if first:
            new = _later(new, self._a_while_back(consumer, list(new)))
        if not new:
            return
        self._positions |= {(self._names[topic], number): offset for (topic, number), offset in new.items()}
        consumer.incremental_assign([TopicPartition(*place, offset) for place, offset in new.items()])
        if first:
            self._ends = ends
            self._deliver(Reached([], dict(self._positions), not any(ends[key] > self._positions[key] for key in ends)))

    def _delivered_of(self, key: Key) -> int:
        held = [record.offset for record, *_ in self._held if record.key == key]
        return min([self._positions.get(key, 0), *held])

    def _a_while_back(self, consumer: LogConsumer, places: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        since_ms = int((time.time() - BACK_S) * 1000)
        found = consumer.offsets_for_times([TopicPartition(*place, since_ms) for place in places], timeout=10)
        at: dict[tuple[str, int], int] = {}
        for each in found:
            place = (each.topic, each.partition)
            ended = each.offset == OFFSET_END or each.offset < 0
            at[place] = consumer.get_watermark_offsets(TopicPartition(*place), timeout=10)[1] if ended else each.offset
        return at


def _later(offsets: Mapping[tuple[str, int], int], others: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], int]:
    return {place: max(offset, others[place]) for place, offset in offsets.items()}
