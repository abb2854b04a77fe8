"""The lag of each consumer group: the end of the log minus the committed offset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass

from confluent_kafka import KafkaException, TopicPartition

from schemas.contract import AnyContract
from schemas.errors import SluiceError
from streams.admin.group_offsets import router_group, worker_groups
from streams.log import kafka
from streams.log.port import LogConsumer
from streams.router.checks import router_rules
from streams.settings import Settings

TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Lag:
    """`records`: how many of a topic the group has not committed; None if it has committed no offset yet."""

    group: str
    topic: str
    records: int | None


def lags(settings: Settings, contracts: Iterable[AnyContract]) -> list[Lag]:
    """Return the lag of each processor's workers, of the router, and of the sink by the offsets that it mirrors to Kafka once
    a second.

    Done jobs after the first unfinished one count as lag. Raises Unreachable.
    """
    chosen, names = list(contracts), settings.topics
    groups = {group.name: list(group.topics) for group in worker_groups(settings, chosen)}
    read = [topic for topics in groups.values() for topic in topics] + [names.results(c.name) for c in chosen]
    groups[f"{settings.topic_prefix}sink"] = [*read, names.dead_letters]
    with suppress(SluiceError):  # a mistake in the rules: `sluice doctor` names it
        if (rules := router_rules(settings)) is not None:
            router = router_group(settings, rules)
            groups[router.name] = list(router.topics)
    with ThreadPoolExecutor(len(groups)) as pool:
        found = pool.map(lambda group: _lags_of(settings, *group), groups.items())
        return [lag for lags in found for lag in lags]


def _lags_of(settings: Settings, group: str, topics: Sequence[str]) -> list[Lag]:
    # A client that never joins the group; group_offsets.py says why this is not an admin call.
    with closing(kafka.consumer(settings, group, **{"group.protocol": "classic"})) as consumer:
        try:
            there = consumer.list_topics(timeout=TIMEOUT_S).topics
            wanted = [TopicPartition(t, number) for t in topics if t in there for number in there[t].partitions]
            found = consumer.committed(wanted, timeout=TIMEOUT_S)
            known = [partition for partition in found if partition.offset >= 0]
            behind = [(partition.topic, _behind(consumer, partition)) for partition in known]
        except KafkaException as error:
            raise kafka.translate(error, f"reading the lag of {group}") from error
    sums: dict[str, int] = {}
    for topic, records in behind:
        sums[topic] = sums.get(topic, 0) + records
    return [Lag(group, topic, sums.get(topic)) for topic in topics]


def _behind(consumer: LogConsumer, committed: TopicPartition) -> int:
    return max(0, consumer.get_watermark_offsets(committed, timeout=TIMEOUT_S)[1] - committed.offset)
