"""Commits first offsets for the groups of the workers and the router, so that workers may run with
`auto.offset.reset=error`.

A group without a committed offset on a partition would have to guess where to start. With the beginning committed before any
worker exists, a missing offset is an error, and never a reason to skip jobs silently. The router begins at the end of a
topic that is older than its rules: they are for what comes from now on.

An offset that the log does not have any more (retention deleted its requests, or the topic was made again) is set to the first
request that is left. The timekeeper ends the jobs whose requests are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.contract import AnyContract
from schemas.states import Custody, Lane
from streams.admin.changes import Change, ChangeKind
from streams.log import kafka
from streams.log.not_ready import TIMEOUT_S, retry_until_ready
from streams.log.port import LogConsumer
from streams.router.checks import router_rules
from streams.router.rules import Rules
from streams.settings import Settings

#: Seconds for the first answer about a group: a new broker makes its offsets topic first, which takes long on a busy machine.
FIRST_ANSWER_S = 60.0
_UNRUN = "requests left the log before they were run"
#: Errors of a commit from outside a group that has members: only they may commit.
_ACTIVE = frozenset({KafkaError.UNKNOWN_MEMBER_ID, KafkaError.NON_EMPTY_GROUP, KafkaError.STALE_MEMBER_EPOCH})


@dataclass(frozen=True, slots=True)
class SeededGroup:
    """A consumer group and the topics it reads. `from_end`: it begins at the end of a topic that it has not read before."""

    name: str
    topics: tuple[str, ...]
    from_end: bool = False


def groups(settings: Settings, contracts: Iterable[AnyContract]) -> list[SeededGroup]:
    """Return every group whose first offsets are committed."""
    rules = router_rules(settings)
    return worker_groups(settings, contracts) + ([] if rules is None else [router_group(settings, rules)])


def router_group(settings: Settings, rules: Rules) -> SeededGroup:
    """Return the group of the routers."""
    names = settings.topics
    uploads = [names.uploads] if rules.reads_uploads else []
    outcomes = [names.outcomes(processor) for processor in rules.processors]
    parts = [names.join_parts] if rules.join else []
    return SeededGroup(f"{settings.topic_prefix}router", (*uploads, *outcomes, *parts), from_end=True)


def worker_groups(settings: Settings, contracts: Iterable[AnyContract]) -> list[SeededGroup]:
    """Return a group for each processor, except those whose jobs are claimed by lease."""
    names = settings.topics
    return [
        SeededGroup(
            f"{settings.topic_prefix}workers.{c.name}", (names.requests(c.name), names.requests(c.name, Lane.BULK))
        )
        for c in contracts
        if settings.custody(c) is Custody.OFFSET
    ]


class _Faults(NamedTuple):
    """The partitions on which a group can't go on: without an offset; with one before or behind what the log has."""

    missing: list[TopicPartition]
    deleted: list[TopicPartition]
    beyond: list[TopicPartition]

    def changes(self, group: SeededGroup) -> list[Change]:
        what = "records left the log before they were routed" if group.from_end else _UNRUN
        deleted = f"{what}; to the first that is left"
        beyond = "the log ends before the group's offset, so the topic was made again; to its beginning"
        kinds = (
            (self.missing, ChangeKind.SEED_OFFSETS, ", at their end" if group.from_end else ", at their beginning"),
            (self.deleted, ChangeKind.RESET_OFFSETS, f": {deleted}"),
            (self.beyond, ChangeKind.RESET_OFFSETS, f": {beyond}"),
        )
        return [Change(kind, group.name, f"{len(found)} partitions{why}") for found, kind, why in kinds if found]


def plan(
    settings: Settings,
    contracts: Sequence[AnyContract],
    partitions: Mapping[str, int],
    there: Mapping[str, int] | None = None,
) -> list[Change]:
    """Return the groups without a usable offset. `partitions`: how many each topic has or will have; `there`: has now."""

    def find(group: SeededGroup, consumer: LogConsumer) -> list[Change]:
        return _faults(group, consumer, partitions, there or {}).changes(group)

    return _each(settings, contracts, find)


def apply(
    settings: Settings,
    contracts: Sequence[AnyContract],
    partitions: Mapping[str, int],
    new: Set[str] = frozenset(),
    there: Mapping[str, int] | None = None,
) -> list[Change]:
    """Commit the beginning wherever a group has no usable offset. A group with members gets only a warning.

    Topics just created (`new`) begin at 0, so the broker is not asked.
    """

    def seed(group: SeededGroup, consumer: LogConsumer) -> list[Change]:
        faults = _faults(group, consumer, partitions, there or {}, FIRST_ANSWER_S)
        return _seed(group, consumer, faults, new) if any(faults) else []

    return _each(settings, contracts, seed)


def seed_group(settings: Settings, group: SeededGroup, partitions: Mapping[str, int]) -> list[Change]:
    """Commit first offsets of one group wherever it has none that can be used. `partitions`: how many each topic has."""
    with closing(kafka.consumer(settings, group.name, **kafka.OUTSIDE)) as consumer:
        faults = _faults(group, consumer, partitions, partitions)
        return _seed(group, consumer, faults, frozenset()) if any(faults) else []


def _each(
    settings: Settings, contracts: Sequence[AnyContract], do: Callable[[SeededGroup, LogConsumer], list[Change]]
) -> list[Change]:
    """Call `do` for every group, in parallel, each with a client of the group that never joins it.

    Admin calls would crash the process while a new broker still creates its offsets topic (librdkafka 2.16); a client waits
    until the group's coordinator is available.
    """

    def run(group: SeededGroup) -> list[Change]:
        with closing(kafka.consumer(settings, group.name, **kafka.OUTSIDE)) as consumer:
            return do(group, consumer)

    with ThreadPoolExecutor(8) as pool:
        return [change for changes in pool.map(run, groups(settings, contracts)) for change in changes]


def _faults(
    group: SeededGroup,
    consumer: LogConsumer,
    partitions: Mapping[str, int],
    there: Mapping[str, int],
    timeout_s: float = TIMEOUT_S,
) -> _Faults:
    wanted = [TopicPartition(topic, number) for topic in group.topics for number in range(partitions.get(topic, 0))]
    faults = _Faults([], [], [])
    try:
        for partition in retry_until_ready(lambda: consumer.committed(wanted, timeout=timeout_s), timeout_s):
            if partition.offset < 0:
                faults.missing.append(partition)
            elif partition.partition < there.get(partition.topic, 0):
                begin, end = _bounds(consumer, partition)
                if partition.offset < begin:
                    faults.deleted.append(partition)
                elif partition.offset > end:
                    faults.beyond.append(partition)
    except KafkaException as error:
        raise kafka.translate(error, f"reading the offsets of {group.name}") from error
    return faults


def _seed(group: SeededGroup, consumer: LogConsumer, faults: _Faults, new: Set[str]) -> list[Change]:
    found = [*faults.missing, *faults.deleted, *faults.beyond]
    ends = faults.missing if group.from_end else []
    try:
        begins = [
            TopicPartition(p.topic, p.partition, 0 if p.topic in new else _bounds(consumer, p)[p in ends])
            for p in found
        ]
        retry_until_ready(lambda: _commit(consumer, begins))
    except KafkaException as error:
        if error.args[0].code() not in _ACTIVE:
            raise kafka.translate(error, f"committing the first offsets of {group.name}") from error
        detail = f"has running members: they find the first record of its {len(found)} partitions by themselves"
        return [Change(ChangeKind.WARNING, group.name, detail)]
    return faults.changes(group)


def _bounds(consumer: LogConsumer, partition: TopicPartition) -> tuple[int, int]:
    """Return the first offset of a partition, and the one after its last."""

    def ask() -> tuple[int, int]:
        try:
            return consumer.get_watermark_offsets(partition, timeout=TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() == KafkaError._UNKNOWN_PARTITION:
                # The client remembers the topic as it was before partitions were added, for minutes, unless it is asked again.
                consumer.list_topics(partition.topic, timeout=TIMEOUT_S)
            raise

    return retry_until_ready(ask)


def _commit(consumer: LogConsumer, offsets: list[TopicPartition]) -> None:
    for partition in consumer.commit(offsets=offsets, asynchronous=False) or []:
        if partition.error is not None:
            raise KafkaException(partition.error)
