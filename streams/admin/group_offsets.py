"""Initial offsets of the worker groups, so that workers may run with `auto.offset.reset=error`.

A group without a committed offset on a partition would have to guess where to begin. Seeding the beginning, before any
worker exists, takes the guess away: from then on a missing offset is an error and never silently skipped jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.contract import AnyContract
from streams.admin.changes import Change, ChangeKind
from streams.log import kafka
from streams.log.port import LogConsumer
from streams.log.retry import TIMEOUT_S, retry_until_ready
from streams.settings import Settings

#: What the broker answers when a group has members: only they may commit.
_ACTIVE = frozenset({KafkaError.UNKNOWN_MEMBER_ID, KafkaError.NON_EMPTY_GROUP, KafkaError.STALE_MEMBER_EPOCH})


@dataclass(frozen=True, slots=True)
class WorkerGroup:
    """A processor's workers, and the topics they read."""

    name: str
    topics: tuple[str, str]


def worker_groups(settings: Settings, contracts: Iterable[AnyContract]) -> list[WorkerGroup]:
    """One a processor; none for those whose jobs are claimed by lease."""
    names = settings.topics
    return [
        WorkerGroup(
            f"{settings.topic_prefix}workers.{c.name}", (names.requests(c.name), names.requests(c.name, "bulk"))
        )
        for c in contracts
        if not c.leased
    ]


def plan(settings: Settings, contracts: Sequence[AnyContract], partitions: Mapping[str, int]) -> list[Change]:
    """Which groups lack offsets; `partitions` are those that the topics have or will have."""

    def look(group: WorkerGroup, consumer: LogConsumer) -> list[Change]:
        missing = _missing(group, consumer, partitions)
        return [_change(group, missing)] if missing else []

    return _each(settings, contracts, look)


def apply(
    settings: Settings,
    contracts: Sequence[AnyContract],
    partitions: Mapping[str, int],
    new: Set[str] = frozenset(),
) -> list[Change]:
    """Commit the beginning wherever a group has no offset. A group with members is left alone and told of.

    Topics that were made just now (`new`) begin at 0 and need not be asked.
    """

    def seed(group: WorkerGroup, consumer: LogConsumer) -> list[Change]:
        missing = _missing(group, consumer, partitions)
        return [_seed(group, consumer, missing, new)] if missing else []

    return _each(settings, contracts, seed)


def _each(
    settings: Settings, contracts: Sequence[AnyContract], do: Callable[[WorkerGroup, LogConsumer], list[Change]]
) -> list[Change]:
    """`do` for every group, side by side, each with a client in that group which never joins it.

    A client, and not the admin calls: those crash the process while a new broker still makes its offsets topic
    (librdkafka 2.16), and a client waits until the group's coordinator is there.
    """

    def one(group: WorkerGroup) -> list[Change]:
        with closing(kafka.consumer(settings, group.name, **kafka.OUTSIDE)) as consumer:
            return do(group, consumer)

    groups = worker_groups(settings, contracts)
    with ThreadPoolExecutor(8) as pool:
        return [change for changes in pool.map(one, groups) for change in changes]


def _missing(group: WorkerGroup, consumer: LogConsumer, partitions: Mapping[str, int]) -> list[TopicPartition]:
    places = [TopicPartition(topic, number) for topic in group.topics for number in range(partitions[topic])]
    try:
        found = retry_until_ready(lambda: consumer.committed(places, timeout=TIMEOUT_S))
    except KafkaException as error:
        raise kafka.translate(error, f"reading the offsets of {group.name}") from error
    return [place for place in found if place.offset < 0]


def _seed(group: WorkerGroup, consumer: LogConsumer, missing: list[TopicPartition], new: Set[str]) -> Change:
    try:
        begins = [
            TopicPartition(p.topic, p.partition, 0 if p.topic in new else _beginning(consumer, p)) for p in missing
        ]
        retry_until_ready(lambda: _commit(consumer, begins))
    except KafkaException as error:
        if error.args[0].code() not in _ACTIVE:
            raise kafka.translate(error, f"committing the first offsets of {group.name}") from error
        detail = f"is running: its {len(missing)} new partitions begin at their beginning by themselves"
        return Change(ChangeKind.WARNING, group.name, detail)
    return _change(group, missing)


def _beginning(consumer: LogConsumer, place: TopicPartition) -> int:
    return retry_until_ready(lambda: consumer.get_watermark_offsets(place, timeout=TIMEOUT_S))[0]


def _commit(consumer: LogConsumer, offsets: list[TopicPartition]) -> None:
    for place in consumer.commit(offsets=offsets, asynchronous=False) or []:
        if place.error is not None:
            raise KafkaException(place.error)


def _change(group: WorkerGroup, places: Sequence[TopicPartition]) -> Change:
    return Change(ChangeKind.SEED_OFFSETS, group.name, f"{len(places)} partitions, at their beginning")
