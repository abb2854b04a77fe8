"""The lag of each consumer group: its unfinished records, and the age of the oldest.

A group without a commit has no lag of 0: it has not begun. Work that a worker has finished out of order is no lag, although it
is beyond the committed offset: the commit's metadata names it. The sink's offsets are those in the store; their mirror in Kafka
is for other tools, and taken only while the store does not answer.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

from confluent_kafka import KafkaException, TopicPartition

from connectors.monitor_store import LeasedQueue
from schemas.contract import AnyContract
from schemas.errors import SluiceError
from schemas.states import Custody, Lane
from streams import wiring
from streams.admin.first_records import ONE_RECORD, first_records
from streams.admin.group_offsets import router_group, worker_groups
from streams.admin.log_ends import Ends, Place, ends_of
from streams.log import kafka
from streams.log.port import LogConsumer
from streams.log.topic_ids import topic_ids
from streams.router.checks import router_rules
from streams.settings import Settings
from streams.worker.kafka_source.offset_metadata import decode, topic_of

TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """`committed`, `records`: None without a commit. `first`: the first unfinished offset; `oldest_at`: that record's time."""

    partition: int
    committed: int | None
    begin: int
    end: int
    records: int | None
    first: int
    oldest_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Lag:
    """The lag of a group on a topic.

    `records`: how many are unfinished; None if the group has committed no offset. `no_commit`: partitions with records on which
    it has committed none, although it may have on others. `seconds`: age of the oldest unfinished record; None if there is
    none, or its time is not known. `source`: kafka; postgres; mirror: the sink's copy in Kafka, because Postgres is away.
    """

    group: str
    topic: str
    records: int | None
    seconds: float | None = None
    no_commit: int = 0
    source: str = "kafka"
    partitions: Sequence[PartitionLag] = ()

    @classmethod
    def of(cls, group: str, topic: str, found: Sequence[PartitionLag], now: datetime, source: str = "kafka") -> Lag:
        known = [each.records for each in found if each.records is not None]
        times = [each.oldest_at for each in found if each.records and each.oldest_at is not None]
        return cls(
            group,
            topic,
            sum(known) if known else None,
            max(0.0, (now - min(times)).total_seconds()) if times else None,
            sum(each.records is None and each.end > each.begin for each in found),
            source,
            tuple(found),
        )


@dataclass(frozen=True, slots=True)
class _Group:
    """`stored`: the offsets of the sink, from its store; None: they are in Kafka."""

    name: str
    topics: Sequence[str]
    stored: Mapping[Place, int] | None = None
    source: str = "kafka"


def lags(settings: Settings, contracts: Iterable[AnyContract]) -> list[Lag]:
    """Return the lag of each processor's workers, of the sink and of the router; for processors whose jobs are claimed by lease
    that of `leases.PROCESSOR`, which is no consumer group. Raises Unreachable.

    Costs a few requests to Kafka for each group, and one record for each partition that has a lag.
    """
    chosen, names = list(contracts), settings.topics
    groups = [_Group(group.name, group.topics) for group in worker_groups(settings, chosen)]
    read = [topic for group in groups for topic in group.topics] + [names.results(c.name) for c in chosen]
    with suppress(SluiceError):  # a mistake in the rules: `sluice doctor` names it
        if (rules := router_rules(settings)) is not None:
            router = router_group(settings, rules)
            groups.append(_Group(router.name, router.topics))
    log = _look_at(settings, [*read, names.dead_letters, *(t for group in groups for t in group.topics)])
    sink, leased = _from_store(settings, [*read, names.dead_letters], log.ids, chosen)
    groups.append(sink)
    with ThreadPoolExecutor(len(groups)) as pool:
        return [
            *(lag for found in pool.map(lambda group: _lags_of(settings, group, log), groups) for lag in found),
            *leased,
        ]


class _LogState(NamedTuple):
    """The topics that are there: their ids, and the ends of each partition."""

    ids: Mapping[str, str]
    ends: Mapping[Place, Ends]


def _look_at(settings: Settings, topics: Iterable[str]) -> _LogState:
    admin = kafka.admin(settings)
    try:
        there = admin.list_topics(timeout=TIMEOUT_S).topics
    except KafkaException as error:
        raise kafka.translate(error, "listing the topics") from error
    known = sorted({topic for topic in topics if topic in there})
    places = [(topic, number) for topic in known for number in there[topic].partitions]
    return _LogState(topic_ids(settings, known) if known else {}, ends_of(admin, places))


def _from_store(
    settings: Settings, topics: Sequence[str], ids: Mapping[str, str], contracts: Iterable[AnyContract]
) -> tuple[_Group, list[Lag]]:
    """Return the sink's group with its offsets, and the lags of processors whose jobs are claimed by lease."""
    name = f"{settings.topic_prefix}sink"
    by_id = {base64.urlsafe_b64decode(f"{topic_id}=="): topic for topic, topic_id in ids.items()}
    try:
        with wiring.monitor_store(settings) as store:
            found, queues = store.sink_positions(name), store.leased()
    except (SluiceError, ImportError):  # an installation without the store's libraries has Kafka alone
        return _Group(name, topics, source="mirror"), []
    stored = {(by_id[each.topic_id], each.partition): each.next_offset for each in found if each.topic_id in by_id}
    leased = [each.name for each in contracts if settings.custody(each) is Custody.LEASE]
    return _Group(name, topics, stored, "postgres"), list(_leased_lags(settings, leased, queues))


def _leased_lags(settings: Settings, processors: Sequence[str], queues: Sequence[LeasedQueue]) -> Iterator[Lag]:
    """Yield a lag for each lane: jobs that wait or run, by the store. No consumer group reads them."""
    now, known = datetime.now(UTC), {(queue.processor, queue.lane): queue for queue in queues}
    for processor in processors:
        for lane in (Lane.LIVE, Lane.BULK):
            queue = known.get((processor, lane))
            oldest_at = None if queue is None else queue.oldest_at
            yield Lag(
                f"{settings.topic_prefix}leases.{processor}",
                settings.topics.requests(processor, lane),
                0 if queue is None else queue.waiting + queue.held,
                None if oldest_at is None else max(0.0, (now - oldest_at).total_seconds()),
                source="postgres",
            )


def _lags_of(settings: Settings, group: _Group, log: _LogState) -> list[Lag]:
    # A client that never joins the group; group_offsets.py says why this is not an admin call.
    with closing(kafka.consumer(settings, group.name, **ONE_RECORD)) as consumer:
        try:
            places = [place for place in log.ends if place[0] in group.topics]
            found = {
                place: partition_lag(place[1], committed, log.ids[place[0]], *log.ends[place])
                for place, committed in _committed(consumer, group, places).items()
            }
        except KafkaException as error:
            raise kafka.translate(error, f"reading the lag of {group.name}") from error
        found = _with_times(consumer, found)
    now = datetime.now(UTC)
    of_topic: dict[str, list[PartitionLag]] = {topic: [] for topic in group.topics}
    for (topic, _), lag in sorted(found.items()):
        of_topic[topic].append(lag)
    return [Lag.of(group.name, topic, of, now, group.source) for topic, of in of_topic.items()]


def _committed(consumer: LogConsumer, group: _Group, places: Sequence[Place]) -> dict[Place, tuple[int, str | None]]:
    """Return the offset and the metadata of each partition; a negative offset without a commit."""
    if group.stored is not None:
        return {place: (group.stored.get(place, -1), None) for place in places}
    found = consumer.committed([TopicPartition(*place) for place in places], timeout=TIMEOUT_S)
    return {(each.topic, each.partition): (each.offset, each.metadata) for each in found}


def partition_lag(
    partition: int, committed: tuple[int, str | None], topic_id: str, begin: int, end: int
) -> PartitionLag:
    """Return the lag of a partition by its commit (offset, metadata) and where the log begins and ends. Pure.

    Records that have left the log are no lag: no worker will ever run them.
    """
    offset, metadata = committed
    if offset < 0 or topic_of(metadata) not in ("", topic_id):  # the topic was made again: the commit is of the old one
        return PartitionLag(partition, None, begin, end, None, begin)
    claims = decode(offset, metadata, topic_id)
    spans = [] if claims is None else [(span.start, span.stop) for span in claims.snapshot.spans]
    spans.append((offset if claims is None else max(offset, claims.snapshot.end), end))
    unfinished = [(max(start, begin), min(stop, end)) for start, stop in spans]
    unfinished = [(start, stop) for start, stop in unfinished if start < stop]
    records = sum(stop - start for start, stop in unfinished)
    return PartitionLag(partition, offset, begin, end, records, unfinished[0][0] if unfinished else end)


def _with_times(consumer: LogConsumer, found: Mapping[Place, PartitionLag]) -> dict[Place, PartitionLag]:
    """Add the time of the oldest unfinished record. A partition without any from there on (its end is a marker of a
    transaction) has no lag."""
    behind = {place: lag.first for place, lag in found.items() if lag.records != 0 and lag.first < lag.end}
    oldest = first_records(consumer, behind, TIMEOUT_S) if behind else {}
    timed = dict(found)
    for place, record in oldest.items():
        lag = found[place]
        if record.offset is not None:
            timed[place] = replace(lag, oldest_at=record.at)
        elif lag.records is not None:
            timed[place] = replace(lag, records=0)
        else:
            timed[place] = replace(lag, begin=lag.end)
    return timed
