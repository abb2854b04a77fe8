"""The two lanes of a processor: a consumer for each, read by weight, so that no heap of bulk jobs delays a live one.

Both are members of the same group, each of its own topic. Used from the engine's thread only.
"""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from processors.policy import LaneWeights
from schemas.errors import SluiceError
from streams import logs
from streams.log import kafka
from streams.log.port import LogConsumer
from streams.settings import Settings
from streams.worker.in_flight import Assignment, Capacity, InFlightJobs
from streams.worker.kafka_source.assignment import AssignedPartitions, CommitPolicy
from streams.worker.kafka_source.committed_state import ASK_S, CommittedStateReader
from streams.worker.kafka_source.quarantine import Quarantine
from streams.worker.protocol import ChildConfig

log = logs.get("worker")

NAMES = ("live", "bulk")
LIVE, BULK = 0, 1
POLL_AT_MOST = 500
#: While bulk records are taken in, nobody looks at live ones: so only so many at a time.
BULK_AT_MOST = 100
#: How long the loop waits for a live record before it looks at an idle bulk lane, and at one that has just given something.
LOOK_AT_BULK_S = 0.05
FOLLOW_BULK_S = 0.002
#: For how long a bulk lane that gave something counts as flowing.
FLOWS_S = 0.1
MAX_POLL_INTERVAL_MS = 300_000
#: The bulk lane joins once the live one has its partitions, or after this long. Were both to join at once, a broker that
#: gathers joins (group.consumer.assignment.interval.ms) would let both wait for 2 s; so it lets only bulk wait (measured).
JOIN_BULK_AFTER_S = 0.5
#: A lane that had no room for so long is paused and polled, so that it stays in the group and takes part in rebalances. Not
#: sooner: a pause throws away what was prefetched, 0.7 s of it (measured: 1,400 jobs/s with pauses at the cap, 13,900 with
#: waits). A worker that has no room for seconds holds jobs of seconds, and loses nothing by it.
PAUSE_AFTER_S = 10.0

Arrival = tuple[Any, Assignment]


class FetchShares:
    """How many jobs each lane may take of the room there is. Pure.

    Nobody knows what a lane has before it is asked. So live is asked first, for all but what bulk is owed; what one lane
    leaves, the other takes. A lane that has nothing saves nothing up.
    """

    def __init__(self, weights: LaneWeights) -> None:
        self._bulk_for_a_live = weights.bulk / weights.live
        self._owed = 0.0  # bulk jobs, for the live ones that were taken

    def live(self, room: Capacity) -> int:
        """For how many live jobs to ask."""
        return min(POLL_AT_MOST, room.total - min(int(self._owed), room.bulk))

    def bulk(self, room: Capacity, asked: int, live: int) -> int:
        """For how many bulk jobs to ask, when `live` came of the live ones `asked` for."""
        self._owed = min(POLL_AT_MOST, self._owed + live * self._bulk_for_a_live)
        due = room.bulk if live < asked else int(self._owed)
        return max(0, min(BULK_AT_MOST, due, room.bulk, room.total - live))

    def took(self, asked: int, bulk: int) -> None:
        """So many bulk jobs came of those asked for."""
        self._owed = 0.0 if bulk < asked else max(0.0, self._owed - bulk)


class LaneConsumer:
    """One consumer and the partitions it owns."""

    def __init__(
        self, number: int, consumer: LogConsumer, partitions: AssignedPartitions, pause_after_s: float
    ) -> None:
        self.name = NAMES[number]
        self.partitions = partitions
        self.received = 0
        self._consumer = consumer
        self._pause_after_s = pause_after_s
        self._joined = False
        self._held_back = False
        self._last_poll = time.monotonic()
        self._slipped: list[Arrival] = []

    def join(self) -> None:
        if not self._joined:
            self._joined = True
            self.partitions.subscribe()

    def poll(self, most: int, timeout: float = 0.0) -> list[Arrival]:
        """The first record as soon as it is there, and what came with it. A lane that was held back flows again."""
        if self._held_back:
            self._flow()
        slipped, self._slipped = self._slipped, []
        arrivals = [*self._still_ours(slipped), *self._read(most, 0.0 if slipped else timeout)]
        self.received += len(arrivals)
        return arrivals

    def stay_in_group(self) -> list[Arrival]:
        """For a lane without room: nothing, most of the time. A record that slips through is taken in beyond the cap."""
        if not self._held_back and time.monotonic() - self._last_poll < self._pause_after_s:
            return []
        self._hold()
        arrivals = self._read(1, 0.0)
        self.received += len(arrivals)
        return arrivals

    def hold_back(self, timeout: float) -> None:
        """Take nothing until the next `poll`, however long that is; rebalances go on. What slips through is kept for then."""
        self._hold()
        self._slipped += self._read(1, timeout)

    def close(self) -> None:
        """Gives the partitions back: settles and commits them."""
        self.partitions.close()

    def _hold(self) -> None:
        """Also what was assigned since the last time."""
        self._held_back = True
        if self._joined:
            self._consumer.pause(self._consumer.assignment())

    def _flow(self) -> None:
        self._held_back = False
        if self._joined:
            self._consumer.resume(self.partitions.fetched())

    def _still_ours(self, arrivals: list[Arrival]) -> list[Arrival]:
        owned = self.partitions.by_key
        return [(message, one) for message, one in arrivals if owned.get((one.topic, one.partition)) is one]

    def _read(self, most: int, timeout: float) -> list[Arrival]:
        self._last_poll = time.monotonic()
        if not self._joined:
            return []
        try:
            first = self._consumer.poll(timeout)
            if first is None:
                return []
            messages = [first, *self._consumer.consume(most - 1, 0)] if most > 1 else [first]
        except KafkaException as error:
            raise kafka.translate(error, "reading requests") from error
        owned: Any = self.partitions.by_key
        # One that was given away by the very poll that brought it is somebody else's.
        return [
            (message, one)
            for message in messages
            if _has_record(message, self._consumer)
            and (one := owned.get((message.topic(), message.partition()))) is not None
        ]


class RequestConsumers:
    """Both of them."""

    def __init__(self, live: LaneConsumer, bulk: LaneConsumer, weights: LaneWeights) -> None:
        self.both = (live, bulk)
        self._live, self._bulk = live, bulk
        self._shares = FetchShares(weights)
        self._bulk_flows_until = 0.0
        self._join_bulk_at: float | None = time.monotonic() + JOIN_BULK_AFTER_S

    @classmethod
    def join(
        cls,
        settings: Settings,
        config: ChildConfig,
        ledger: InFlightJobs,
        handover: Quarantine,
        policy: CommitPolicy,
        weights: LaneWeights,
    ) -> RequestConsumers:
        """Members of the group: the live lane at once, the bulk one as soon as that does not delay it."""
        live, bulk = (_lane(settings, config, ledger, handover, policy, number) for number in (LIVE, BULK))
        live.join()
        return cls(live, bulk, weights)

    def poll(self, room: Capacity, *, wait: bool) -> list[Arrival]:
        """What there is, live before bulk; with `wait`, the first live record as soon as it comes."""
        asked = self._shares.live(room)
        live = self._live.poll(asked) if asked else []
        most = self._shares.bulk(room, asked, len(live))
        bulk = self._bulk.poll(most) if most else self._bulk.stay_in_group()
        if most:
            self._shares.took(most, len(bulk))
        now = time.monotonic()
        if bulk:
            self._bulk_flows_until = now + FLOWS_S
        if wait and not live and not bulk:
            return self._live.poll(max(1, asked), FOLLOW_BULK_S if now < self._bulk_flows_until else LOOK_AT_BULK_S)
        return live + bulk

    def stay_in_group(self) -> list[Arrival]:
        """For when there is no room at all."""
        return self._live.stay_in_group() + self._bulk.stay_in_group()

    def hold_back(self, timeout: float) -> None:
        """Take nothing; see Lane."""
        self._live.hold_back(timeout)
        self._bulk.hold_back(0.0)

    def commit_if_due(self, now: float) -> None:
        """Commits, and the second of the two joins."""
        if self._join_bulk_at is not None and (now >= self._join_bulk_at or len(self._live.partitions)):
            self._join_bulk_at = None
            self._bulk.join()
        for lane in self.both:
            lane.partitions.commit_if_due(now)

    def close(self) -> None:
        for lane in self.both:
            lane.close()


def _lane(
    settings: Settings,
    config: ChildConfig,
    ledger: InFlightJobs,
    handover: Quarantine,
    policy: CommitPolicy,
    number: int,
) -> LaneConsumer:
    interval_ms = int(settings.kafka_config.get("max.poll.interval.ms", MAX_POLL_INTERVAL_MS))
    consumer = kafka.consumer(
        settings,
        f"{settings.topic_prefix}workers.{config.processor}",
        **{
            "client.id": config.worker_id,  # so that the group tells which workers there are
            # Each lane is shared out by itself, evenly among the workers that read it.
            "group.remote.assignor": "range",
            "max.poll.interval.ms": interval_ms,
            "on_commit": lambda error, partitions: made.committed(error, partitions),
        },
    )
    takeover = CommittedStateReader(settings, *config.topics[number])
    made: AssignedPartitions = AssignedPartitions(consumer, ledger, takeover, handover, number, policy)
    return LaneConsumer(number, consumer, made, min(PAUSE_AFTER_S, interval_ms / 2000))


def _has_record(message: Any, consumer: LogConsumer) -> bool:
    """False for a message that only tells of an error. Raises when the loop can't go on after it."""
    error = message.error()
    if error is None:
        return True
    if error.code() == KafkaError._AUTO_OFFSET_RESET:
        raise _not_in_log(message, consumer)
    if error.fatal():
        raise kafka.translate(error, "reading requests")
    log.warning("poll_error", reason=error.str())
    return False


def _not_in_log(message: Any, consumer: LogConsumer) -> SluiceError:
    """The group's offset lies before what the log still has, or beyond its end."""
    place = TopicPartition(message.topic(), message.partition())
    named = f"{place.topic}, partition {place.partition}"
    try:
        (committed,) = consumer.committed([place], timeout=ASK_S)
        _, high = consumer.get_watermark_offsets(place, timeout=ASK_S)
    except KafkaException:
        committed, high = place, None
    if high is not None and committed.offset > high:
        return SluiceError(
            f"The log was cut: {named} ends at offset {high}, and the group's offset is {committed.offset}.",
            next_step="Stop the group's workers and set its offset to the earliest (kafka-consumer-groups --reset-offsets "
            "--to-earliest): that repeats jobs, and loses none that the log still has.",
        )
    return SluiceError(
        f"The group's offset on {named} is no longer in the log: requests were deleted before they were run.",
        next_step="Run `sluice topics plan` to compare retention and offsets.",
    )
