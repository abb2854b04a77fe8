"""How far each consumer group is behind: the log's end less what the group has committed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from confluent_kafka import KafkaException, TopicPartition

from schemas.contract import AnyContract
from streams.admin.group_offsets import worker_groups
from streams.log import kafka
from streams.log.port import LogConsumer
from streams.settings import Settings

TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Lag:
    """Records of a topic that a group has not committed yet; None where it has committed nothing so far."""

    group: str
    topic: str
    records: int | None


def lags(settings: Settings, contracts: Iterable[AnyContract]) -> list[Lag]:
    """Of the workers of each processor, and of the sink by the offsets that it mirrors to Kafka once a second.

    Jobs that are done beyond the first that is not count as behind. Raises Unreachable.
    """
    chosen, names = list(contracts), settings.topics
    groups = {group.name: list(group.topics) for group in worker_groups(settings, chosen)}
    read = [topic for topics in groups.values() for topic in topics] + [names.results(c.name) for c in chosen]
    groups[f"{settings.topic_prefix}sink"] = [*read, names.dead_letters]
    with ThreadPoolExecutor(len(groups)) as pool:
        found = pool.map(lambda one: _of_group(settings, *one), groups.items())
        return [lag for lags in found for lag in lags]


def _of_group(settings: Settings, group: str, topics: Sequence[str]) -> list[Lag]:
    # A client that never joins the group: see group_offsets.py for why it is no admin call.
    with closing(kafka.consumer(settings, group, **{"group.protocol": "classic"})) as consumer:
        try:
            there = consumer.list_topics(timeout=TIMEOUT_S).topics
            wanted = [TopicPartition(t, number) for t in topics if t in there for number in there[t].partitions]
            found = consumer.committed(wanted, timeout=TIMEOUT_S)
            known = [place for place in found if place.offset >= 0]
            behind = [(place.topic, _behind(consumer, place)) for place in known]
        except KafkaException as error:
            raise kafka.translate(error, f"reading the lag of {group}") from error
    sums: dict[str, int] = {}
    for topic, records in behind:
        sums[topic] = sums.get(topic, 0) + records
    return [Lag(group, topic, sums.get(topic)) for topic in topics]


def _behind(consumer: LogConsumer, place: TopicPartition) -> int:
    return max(0, consumer.get_watermark_offsets(place, timeout=TIMEOUT_S)[1] - place.offset)
