"""Topics as operators see them: how much they hold, since when, which schemas wrote it, and who reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime

from confluent_kafka import KafkaException, Message, TopicPartition
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from schemas.codec import FRAME, MAGIC
from schemas.contract import AnyContract
from schemas.errors import NotFound, SluiceError
from schemas.topics import Topic, declared
from streams import wiring
from streams.admin.first_records import ONE_RECORD, records_from
from streams.admin.log_ends import Ends, Place, Times, ends_of, times_of
from streams.admin.records import headers_of
from streams.admin.topics import result_of
from streams.log import kafka
from streams.log.port import LogAdmin
from streams.router.checks import router_rules
from streams.settings import Settings

TIMEOUT_S = 10.0
#: Newest records of one partition of a topic that are read for its mean record size, and for the schemas that are in use.
SAMPLE = 50
#: Bytes that a record has in the log beside key, value and headers, roughly.
_OVERHEAD = 12


@dataclass(frozen=True, slots=True)
class TopicView:
    """A topic. `records`: offsets that it has, which is more than its records if it is compacted. `bytes`: an estimate by a
    sample, before compression; None for an empty topic. `schema_id`: of this version's schema, None if it is not registered;
    `schemas`: ids of those that wrote the newest records, with how many of the sample. `readers`: groups that have committed.
    `exists`: False for a declared topic that is not on the broker.
    """

    name: str
    partitions: int
    records: int = 0
    bytes: int | None = None
    retention_ms: int | None = None
    compacted: bool = False
    first_at: datetime | None = None
    last_at: datetime | None = None
    subject: str | None = None
    schema_id: int | None = None
    schemas: Mapping[int, int] = field(default_factory=dict)
    readers: Sequence[str] = ()
    declared: bool = True
    exists: bool = True


@dataclass(frozen=True, slots=True)
class PartitionView:
    partition: int
    begin: int
    end: int
    first_at: datetime | None
    last_at: datetime | None


def topic_views(settings: Settings, contracts: Sequence[AnyContract]) -> list[TopicView]:
    """Return every declared topic. Raises Unreachable."""
    rules = router_rules(settings)
    joins = rules is not None and bool(rules.join)
    topics = declared(contracts, settings.topics, settings.partitions, joins=joins)
    return [view for view, _ in _views(settings, {topic.name: topic for topic in topics})]


def topic_view(
    settings: Settings, contracts: Sequence[AnyContract], name: str
) -> tuple[TopicView, list[PartitionView]]:
    """Return one topic, declared or not, with its partitions. Raises NotFound, Unreachable."""
    known = {topic.name: topic for topic in declared(contracts, settings.topics, settings.partitions, joins=True)}
    [(view, partitions)] = _views(settings, {name: known.get(name)})
    if not view.exists:
        raise NotFound(f"There is no topic {name!r}.", next_step="`sluice topics list` lists them.")
    return view, partitions


def _views(settings: Settings, wanted: Mapping[str, Topic | None]) -> list[tuple[TopicView, list[PartitionView]]]:
    admin = kafka.admin(settings)
    try:
        there = admin.list_topics(timeout=TIMEOUT_S).topics
    except KafkaException as error:
        raise kafka.translate(error, "listing the topics") from error
    places = [(name, number) for name in wanted if name in there for number in sorted(there[name].partitions)]
    names = sorted({name for name, _ in places})
    with ThreadPoolExecutor(4) as pool:
        reading = pool.submit(readers_of, settings, admin, places)
        configs = pool.submit(_configs, admin, names)
        registered = pool.submit(_registered, settings, [topic for topic in wanted.values() if topic is not None])
        ends, times = ends_of(admin, places), times_of(admin, places)
        samples = _samples(settings, ends)
        readers, config_of, schema_ids = reading.result(), configs.result(), registered.result()
    found = []
    for name, topic in wanted.items():
        of = [place for place in places if place[0] == name]
        view = TopicView(
            name,
            len(of) or (0 if topic is None else topic.partitions),
            subject=None if topic is None or topic.schema is None else topic.subject,
            schema_id=schema_ids.get(name),
            readers=readers.get(name, ()),
            declared=topic is not None,
            exists=bool(of),
        )
        if of:
            view = _filled(view, [ends[place] for place in of], [times[place] for place in of], config_of[name])
            view = _sampled(view, samples.get(name, ()))
        found.append((view, [PartitionView(place[1], *ends[place], *times[place]) for place in of]))
    return found


def _filled(view: TopicView, ends: Sequence[Ends], times: Sequence[Times], config: Mapping[str, str]) -> TopicView:
    return replace(
        view,
        records=sum(each.end - each.begin for each in ends),
        retention_ms=int(config["retention.ms"]) if config.get("retention.ms", "-1") != "-1" else None,
        compacted="compact" in config.get("cleanup.policy", ""),
        first_at=min((each.first_at for each in times if each.first_at is not None), default=None),
        last_at=max((each.last_at for each in times if each.last_at is not None), default=None),
    )


def _sampled(view: TopicView, sample: Sequence[Message]) -> TopicView:
    if not sample:
        return view
    values = [message.value() or b"" for message in sample]
    ids = Counter(int(FRAME.unpack_from(each)[1]) for each in values if len(each) >= FRAME.size and each[0] == MAGIC)
    mean = sum(map(_size, sample)) / len(sample)
    return replace(view, bytes=round(mean * view.records), schemas=dict(ids.most_common()))


def _size(message: Message) -> int:
    headers = sum(len(name) + len(content or b"") for name, content in headers_of(message))
    return len(message.key() or b"") + len(message.value() or b"") + headers + _OVERHEAD


def _samples(settings: Settings, ends: Mapping[Place, Ends]) -> dict[str, list[Message]]:
    """Return the newest records of each topic's fullest partition."""
    fullest: dict[str, Place] = {}
    for place, each in ends.items():
        known = fullest.get(place[0])
        if each.end > each.begin and (known is None or each.end - each.begin > ends[known].end - ends[known].begin):
            fullest[place[0]] = place
    starts = {place: max(ends[place].begin, ends[place].end - SAMPLE) for place in fullest.values()}
    with closing(kafka.reader(settings, **ONE_RECORD)) as consumer:
        found = records_from(consumer, starts, SAMPLE) if starts else {}
    return {place[0]: messages for place, messages in found.items()}


def _configs(admin: LogAdmin, names: Sequence[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    futures = admin.describe_configs(resources, request_timeout=TIMEOUT_S) if resources else {}
    return {
        resource.name: {key: str(entry.value) for key, entry in result_of(future, "reading a topic's config").items()}
        for resource, future in futures.items()
    }


def _registered(settings: Settings, topics: Sequence[Topic]) -> dict[str, int | None]:
    """Return the id of each topic's schema of this version; nothing while the registry does not answer."""
    found: dict[str, int | None] = {}
    with wiring.open_registry(settings) as registry:
        for topic in topics:
            if topic.schema is not None:
                try:
                    found[topic.name] = registry.lookup(topic.subject, topic.schema)
                except SluiceError:
                    break
    return found


def readers_of(settings: Settings, admin: LogAdmin, places: Iterable[Place]) -> dict[str, list[str]]:
    """Return the groups that have committed an offset of each topic, by topic. Raises Unreachable."""
    wanted = [TopicPartition(*place) for place in places]
    try:
        listed = admin.list_consumer_groups(request_timeout=TIMEOUT_S).result(TIMEOUT_S + 5.0).valid
    except KafkaException as error:
        raise kafka.translate(error, "listing the consumer groups") from error

    def topics_of(group: str) -> set[str]:
        with closing(kafka.consumer(settings, group, **kafka.OUTSIDE)) as consumer:
            try:
                return {each.topic for each in consumer.committed(wanted, timeout=TIMEOUT_S) if each.offset >= 0}
            except KafkaException:  # deleted meanwhile, or not ours to read
                return set()

    groups = sorted(each.group_id for each in listed if each.group_id.startswith(settings.topic_prefix))
    found: dict[str, list[str]] = {}
    with ThreadPoolExecutor(8) as pool:
        for group, topics in zip(groups, pool.map(topics_of, groups), strict=True):
            for topic in topics:
                found.setdefault(topic, []).append(group)
    return found
