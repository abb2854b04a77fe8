"""Which topics the sink reads, what each is to it, and their ids, which outlive a topic made again under its name."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache
from typing import Any

from confluent_kafka import KafkaException, TopicCollection

from connectors.store import LogPosition
from schemas.contract import contract, known_processors
from schemas.states import Custody
from schemas.topics import TopicNames
from streams.log import kafka
from streams.log.port import LogAdmin

TIMEOUT_S = 15.0


class TopicRole(Enum):
    """What a topic is to the sink."""

    REQUESTS = "requests"
    LEASED_REQUESTS = "requests claimed by lease"
    FOREIGN_REQUESTS = "requests of a processor that is not installed here"  # each says itself how it is kept
    UNKNOWN_REQUESTS = "unknown requests"  # of a processor that nobody has declared
    RESULTS = "results"
    DEAD_LETTERS = "dead letters"


@dataclass(frozen=True, slots=True)
class SinkTopic:
    name: str
    part: TopicRole
    topic_id: bytes
    processor: str = ""


@dataclass(frozen=True)
class TopicTable:
    """The sink's topics as the broker has them, by name."""

    topics: Mapping[str, SinkTopic]

    @cached_property
    def may_lease(self) -> bool:
        """Whether any job may be claimed by lease; if not, nobody need look."""
        return bool(self._processors(TopicRole.LEASED_REQUESTS) | self._processors(TopicRole.FOREIGN_REQUESTS))

    def leased(self, header: Mapping[str, Any]) -> bool:
        """Whether this job is claimed by lease: as its processor's contract says, or, if that is unknown here, its header."""
        processor = header["processor"]
        if processor in self._processors(TopicRole.LEASED_REQUESTS):
            return True
        return processor in self._processors(TopicRole.FOREIGN_REQUESTS) and header["custody"] == Custody.LEASE

    @cached_property
    def _by_part(self) -> dict[TopicRole, frozenset[str]]:
        parts = {topic.part for topic in self.topics.values()}
        return {p: frozenset(t.processor for t in self.topics.values() if t.part is p) for p in parts}

    def _processors(self, part: TopicRole) -> frozenset[str]:
        return self._by_part.get(part, frozenset())

    def id_of(self, topic: str, told: str) -> bytes | None:
        """A topic's id from coordinates: as they tell it, else by the topic's name."""
        known = self.topics.get(topic)
        return (parse_topic_id(told) if told else None) or (known.topic_id if known else None)

    def place(self, coordinates: Mapping[str, object] | None) -> LogPosition | None:
        """Coordinates (a plain record) as a place; None when the topic is not known."""
        if coordinates is None:
            return None
        topic_id = self.id_of(str(coordinates["topic"]), str(coordinates.get("topic_id") or ""))
        partition, offset = coordinates["partition"], coordinates["offset"]
        assert isinstance(partition, int)
        assert isinstance(offset, int)
        return None if topic_id is None else LogPosition(topic_id, partition, offset)


def read_topics(admin: LogAdmin, names: TopicNames) -> TopicTable:
    """The broker's topics that concern the sink. Raises Unreachable."""
    try:
        there = set(admin.list_topics(timeout=TIMEOUT_S).topics)
        parts = {name: part for name in there if (part := part_of(name, names, there)) is not None}
        described = admin.describe_topics(TopicCollection(list(parts)), request_timeout=TIMEOUT_S) if parts else {}
        ids = {name: uuid_bytes(future.result().topic_id) for name, future in described.items()}
    except KafkaException as error:
        raise kafka.translate(error, "listing the topics") from error
    return TopicTable(
        {name: SinkTopic(name, part, ids[name], names.processor_of(name) or "") for name, part in parts.items()}
    )


def part_of(topic: str, names: TopicNames, there: set[str]) -> TopicRole | None:
    """What `topic` is to the sink, given all topics of the broker; None if it does not concern it.

    A processor is unknown when neither its contract is installed here nor its results topic was ever declared.
    """
    if topic == names.dead_letters:
        return TopicRole.DEAD_LETTERS
    processor = names.processor_of(topic) if topic.startswith(names.prefix) else None
    if processor is None or topic == names.outcomes(processor):
        return None
    if topic == names.results(processor):
        return TopicRole.RESULTS
    if processor in known_processors():
        return TopicRole.LEASED_REQUESTS if contract(processor).leased else TopicRole.REQUESTS
    return TopicRole.FOREIGN_REQUESTS if names.results(processor) in there else TopicRole.UNKNOWN_REQUESTS


def uuid_bytes(given: Any) -> bytes:
    """Of confluent_kafka's Uuid, whose stubs know no methods."""
    high: int
    low: int
    high, low = given.get_most_significant_bits(), given.get_least_significant_bits()
    return high.to_bytes(8, "big", signed=high < 0) + low.to_bytes(8, "big", signed=low < 0)


@lru_cache(maxsize=1024)
def parse_topic_id(text: str) -> bytes | None:
    """A topic id as Kafka prints it (base64url, 22 characters) or as a UUID; None for anything else."""
    try:
        return uuid.UUID(text).bytes if len(text) == 36 else _base64_id(text)
    except (ValueError, binascii.Error):
        return None


def _base64_id(text: str) -> bytes | None:
    decoded = base64.urlsafe_b64decode(text + "==") if len(text) == 22 else b""
    return decoded if len(decoded) == 16 else None


def print_topic_id(topic_id: bytes) -> str:
    """As Kafka prints it."""
    return base64.urlsafe_b64encode(topic_id).decode().rstrip("=")
