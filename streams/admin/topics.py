"""Compares the declared topics with the broker and the registry, and applies the differences. Never deletes anything.

`plan` returns what `apply` would do. Applying a second time changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewPartitions, NewTopic

from schemas.contract import AnyContract
from schemas.topics import DAY_MS, Topic, declared
from streams import wiring
from streams.admin import group_offsets, subjects
from streams.admin.changes import Change, ChangeKind
from streams.log import kafka
from streams.log.port import LogAdmin
from streams.router.checks import router_rules
from streams.settings import Settings

TIMEOUT_S = 15.0
OnChange = Callable[[Change], None]


@dataclass(frozen=True, slots=True)
class BrokerTopic:
    """A topic's state on the broker."""

    partitions: int
    config: dict[str, str] = field(default_factory=dict)


def plan(settings: Settings, contracts: Sequence[AnyContract]) -> list[Change]:
    """Return the differences, in the order in which `apply` changes them. Raises Unreachable."""
    admin, topics = kafka.admin(settings), _topics(settings, contracts)
    with wiring.open_registry(settings) as registry, ThreadPoolExecutor(1) as pool:
        of_subjects = pool.submit(subjects.plan, registry, _subjects(topics))
        existing = broker_topics(admin, topics)
        changes = [*differences(topics, existing), *_retention_warning(admin, topics)]
        changes += group_offsets.plan(settings, contracts, _partitions(topics, existing), _counts(existing))
        return [*changes, *of_subjects.result()]


def apply(settings: Settings, contracts: Sequence[AnyContract], on_change: OnChange | None = None) -> list[Change]:
    """Bring the broker and the registry to the declared state; return the changes, and warnings for what can't be changed.

    Raises Unreachable, Conflict (a schema that is not compatible with what is registered).
    """
    admin, topics = kafka.admin(settings), _topics(settings, contracts)
    existing = broker_topics(admin, topics)
    partitions = _partitions(topics, existing)
    with wiring.open_registry(settings) as registry, ThreadPoolExecutor(2) as pool:
        registered = pool.submit(subjects.apply, registry, _subjects(topics))
        # Runs while the topics are being created: a new broker takes a second before it can answer.
        unseeded = pool.submit(group_offsets.plan, settings, contracts, partitions, _counts(existing))
        changes = _apply_topics(admin, settings, topics, existing)
        if unseeded.result():
            new = partitions.keys() - existing.keys()
            changes += group_offsets.apply(settings, contracts, partitions, new, _counts(existing))
        changes += registered.result()
    if on_change is not None:
        for change in changes:
            on_change(change)
    return changes


def _apply_topics(
    admin: LogAdmin, settings: Settings, topics: list[Topic], existing: dict[str, BrokerTopic]
) -> list[Change]:
    changes = differences(topics, existing)
    by_name = {topic.name: topic for topic in topics}
    _create(
        admin, [by_name[c.target] for c in changes if c.kind is ChangeKind.CREATE_TOPIC], settings.replication_factor
    )
    _extend(admin, [by_name[c.target] for c in changes if c.kind is ChangeKind.ADD_PARTITIONS])
    _alter(admin, [by_name[c.target] for c in changes if c.kind is ChangeKind.ALTER_CONFIG])
    return changes + _retention_warning(admin, topics)


def broker_topics(admin: LogAdmin, topics: Iterable[Topic]) -> dict[str, BrokerTopic]:
    """Return the declared topics that exist on the broker, by name."""
    metadata = _cluster(admin).topics
    found = [name for name in (topic.name for topic in topics) if name in metadata and metadata[name].error is None]
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in found]
    futures = admin.describe_configs(resources, request_timeout=TIMEOUT_S) if resources else {}
    configs = {resource.name: result_of(future, "reading a topic's config") for resource, future in futures.items()}
    return {
        name: BrokerTopic(
            len(metadata[name].partitions), {key: str(entry.value) for key, entry in configs[name].items()}
        )
        for name in found
    }


def differences(topics: Iterable[Topic], existing: dict[str, BrokerTopic]) -> list[Change]:
    """Return the differences between the declared topics and those on the broker."""
    changes: list[Change] = []
    for topic in topics:
        actual = existing.get(topic.name)
        if actual is None:
            retention = f"{topic.retention_ms // DAY_MS} d{', compacted' * topic.compacted}"
            changes.append(
                Change(ChangeKind.CREATE_TOPIC, topic.name, f"{topic.partitions} partitions, kept {retention}")
            )
        else:
            changes += _topic_differences(topic, actual)
    return changes


def _topic_differences(topic: Topic, actual: BrokerTopic) -> list[Change]:
    changes = []
    wrong = {key: value for key, value in topic.config().items() if not _same(actual.config.get(key), value)}
    if wrong:
        detail = ", ".join(f"{key} {actual.config.get(key)} → {value}" for key, value in sorted(wrong.items()))
        changes.append(Change(ChangeKind.ALTER_CONFIG, topic.name, detail))
    if actual.partitions < topic.partitions and not topic.fixed:
        changes.append(Change(ChangeKind.ADD_PARTITIONS, topic.name, f"{actual.partitions} → {topic.partitions}"))
    if actual.partitions > topic.partitions:
        detail = f"has {actual.partitions} partitions, {topic.partitions} are declared: partitions can't be removed"
        changes.append(Change(ChangeKind.WARNING, topic.name, detail))
    return changes


def _same(actual: str | None, wanted: str) -> bool:
    """True if both are equal, or the same list in another order (cleanup.policy)."""
    return actual is not None and set(actual.split(",")) == set(wanted.split(","))


def _create(admin: LogAdmin, topics: list[Topic], replication_factor: int) -> None:
    new = [NewTopic(t.name, t.partitions, replication_factor, config=t.config()) for t in topics]
    futures = admin.create_topics(new, operation_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S) if new else {}
    for name, future in futures.items():
        result_of(future, f"creating the topic {name}", fine=KafkaError.TOPIC_ALREADY_EXISTS)


def _extend(admin: LogAdmin, topics: list[Topic]) -> None:
    new = [NewPartitions(topic.name, topic.partitions) for topic in topics]
    futures = admin.create_partitions(new, operation_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S) if new else {}
    for name, future in futures.items():
        result_of(future, f"adding partitions to {name}")


def _alter(admin: LogAdmin, topics: list[Topic]) -> None:
    resources = [
        ConfigResource(
            ResourceType.TOPIC,
            topic.name,
            incremental_configs=[
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                for key, value in topic.config().items()
            ],
        )
        for topic in topics
    ]
    futures = admin.incremental_alter_configs(resources, request_timeout=TIMEOUT_S) if resources else {}
    for resource, future in futures.items():
        result_of(future, f"changing the config of {resource.name}")


def _retention_warning(admin: LogAdmin, topics: Iterable[Topic]) -> list[Change]:
    """Warn if a group's offsets expire before the requests they point to: jobs would be lost or run again."""
    brokers = list(_cluster(admin).brokers)
    resource = ConfigResource(ResourceType.BROKER, str(min(brokers)))
    (future,) = admin.describe_configs([resource], request_timeout=TIMEOUT_S).values()
    entry = result_of(future, "reading the broker's config").get("offsets.retention.minutes")
    minutes = int(entry.value) if entry is not None and entry.value else 7 * 24 * 60
    longest = max((t.retention_ms for t in topics if ".requests." in f".{t.name}"), default=0) // 60_000
    if minutes >= longest:
        return []
    return [
        Change(
            ChangeKind.WARNING,
            "offsets.retention.minutes",
            f"the broker forgets the offsets of an idle group after {minutes // 1440} d, requests are kept "
            f"{longest // 1440} d: set it to {longest} or more",
        )
    ]


def _cluster(admin: LogAdmin) -> Any:
    try:
        return admin.list_topics(timeout=TIMEOUT_S)
    except KafkaException as error:
        raise kafka.translate(error, "listing the topics") from error


def _topics(settings: Settings, contracts: Sequence[AnyContract]) -> list[Topic]:
    rules = router_rules(settings)
    return declared(contracts, settings.topics, settings.partitions, joins=rules is not None and bool(rules.join))


def _partitions(topics: Iterable[Topic], existing: dict[str, BrokerTopic]) -> dict[str, int]:
    """Return how many partitions each topic has, or will have once it is created."""
    return {t.name: max(t.partitions, existing[t.name].partitions if t.name in existing else 0) for t in topics}


def _counts(existing: dict[str, BrokerTopic]) -> dict[str, int]:
    """Return how many partitions each topic has now."""
    return {name: topic.partitions for name, topic in existing.items()}


def _subjects(topics: Iterable[Topic]) -> dict[str, str]:
    return {topic.subject: topic.schema for topic in topics if topic.schema is not None}


def result_of(future: Future[Any], doing: str, *, fine: int | None = None) -> Any:
    """Return a future's result, with Kafka's errors translated; None for the error code that is `fine`."""
    try:
        return future.result(TIMEOUT_S + 5.0)
    except KafkaException as error:
        if fine is not None and error.args[0].code() == fine:
            return None
        raise kafka.translate(error, doing) from error
