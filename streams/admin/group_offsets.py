"""Commits first offsets for the worker groups, so that workers may run with `auto.offset.reset=error`.

A group without a committed offset on a partition would have to guess where to start. With the beginning committed before any
worker exists, a missing offset is an error, and never a reason to skip jobs silently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.contract import AnyContract
from schemas.states import Lane
from streams.admin.changes import Change, ChangeKind
from streams.log import kafka
from streams.log.port import LogConsumer
from streams.log.reconnect import TIMEOUT_S, retry_until_ready
from streams.settings import Settings

#: Errors of a commit from outside a group that has members: only they may commit.
_ACTIVE = frozenset({KafkaError.UNKNOWN_MEMBER_ID, KafkaError.NON_EMPTY_GROUP, KafkaError.STALE_MEMBER_EPOCH})


@dataclass(frozen=True, slots=True)
class WorkerGroup:
    """The group of a processor's workers, and the two topics it reads."""

    name: str
    topics: tuple[str, str]


def worker_groups(settings: Settings, contracts: Iterable[AnyContract]) -> list[WorkerGroup]:
    """Return a group for each processor, except those whose jobs are claimed by lease."""
    names = settings.topics
    return [
        WorkerGroup(
            f"{settings.topic_prefix}workers.{c.name}", (names.requests(c.name), names.requests(c.name, Lane.BULK))
        )
        for c in contracts
        if not c.leased
    ]


def plan(settings: Settings, contracts: Sequence[AnyContract], partitions: Mapping[str, int]) -> list[Change]:
    """Return the groups that lack offsets. `partitions`: how many each topic has or will have."""

    def find(group: WorkerGroup, consumer: LogConsumer) -> list[Change]:
        missing = _missing(group, consumer, partitions)
        return [_change(group, missing)] if missing else []

    return _each(settings, contracts, find)


def apply(
    settings: Settings,
    contracts: Sequence[AnyContract],
    partitions: Mapping[str, int],
    new: Set[str] = frozenset(),
) -> list[Change]:
    """Commit the beginning wherever a group has no offset. A group with members gets only a warning.

    Topics just created (`new`) begin at 0, so the broker is not asked.
    """

    def seed(group: WorkerGroup, consumer: LogConsumer) -> list[Change]:
        missing = _missing(group, consumer, partitions)
        return [_seed(group, consumer, missing, new)] if missing else []

    return _each(settings, contracts, seed)


def _each(
    settings: Settings, contracts: Sequence[AnyContract], do: Callable[[WorkerGroup, LogConsumer], list[Change]]
) -> list[Change]:
    """Call `do` for every group, in parallel, each with a client of the group that never joins it.

    Admin calls would crash the process while a new broker still creates its offsets topic (librdkafka 2.16); a client waits
    until the group's coordinator is available.
    """

    def run(group: WorkerGroup) -> list[Change]:
        with closing(kafka.consumer(settings, group.name, **kafka.OUTSIDE)) as consumer:
            return do(group, consumer)

    groups = worker_groups(settings, contracts)
    with ThreadPoolExecutor(8) as pool:
        return [change for changes in pool.map(run, groups) for change in changes]


def _missing(group: WorkerGroup, consumer: LogConsumer, partitions: Mapping[str, int]) -> list[TopicPartition]:
    wanted = [TopicPartition(topic, number) for topic in group.topics for number in range(partitions[topic])]
    try:
        found = retry_until_ready(lambda: consumer.committed(wanted, timeout=TIMEOUT_S))
    except KafkaException as error:
        raise kafka.translate(error, f"reading the offsets of {group.name}") from error
    return [partition for partition in found if partition.offset < 0]


def _seed(group: WorkerGroup, consumer: LogConsumer, missing: list[TopicPartition], new: Set[str]) -> Change:
    try:
        begins = [
            TopicPartition(p.topic, p.partition, 0 if p.topic in new else _beginning(consumer, p)) for p in missing
        ]
        retry_until_ready(lambda: _commit(consumer, begins))
    except KafkaException as error:
        if error.args[0].code() not in _ACTIVE:
            raise kafka.translate(error, f"committing the first offsets of {group.name}") from error
        detail = f"has running workers: they read its {len(missing)} new partitions from the beginning by themselves"
        return Change(ChangeKind.WARNING, group.name, detail)
    return _change(group, missing)


def _beginning(consumer: LogConsumer, partition: TopicPartition) -> int:
    return retry_until_ready(lambda: consumer.get_watermark_offsets(partition, timeout=TIMEOUT_S))[0]


def _commit(consumer: LogConsumer, offsets: list[TopicPartition]) -> None:
    for partition in consumer.commit(offsets=offsets, asynchronous=False) or []:
        if partition.error is not None:
            raise KafkaException(partition.error)


def _change(group: WorkerGroup, partitions: Sequence[TopicPartition]) -> Change:
    return Change(ChangeKind.SEED_OFFSETS, group.name, f"{len(partitions)} partitions, at their beginning")
