"""The topics that the sink reads, their roles and their ids. A topic that is deleted and created again has a new id."""

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

from connectors.sink_store import LogPosition
from schemas.contract import contract, known_processors
from schemas.states import Custody
from streams.log import kafka
from streams.log.port import LogAdmin
from streams.log.topic_ids import uuid_bytes
from streams.settings import Settings

#: Seconds to wait for an answer of the broker.
TIMEOUT_S = 15.0


class TopicRole(Enum):
    """The kind of records that the sink reads from a topic."""

    REQUESTS = "requests"
    LEASED_REQUESTS = "requests claimed by lease"
    FOREIGN_REQUESTS = "requests of a processor that is not installed here"  # custody is in each request's header
    UNKNOWN_REQUESTS = "unknown requests"  # of a processor that is not declared anywhere
    RESULTS = "results"
    DEAD_LETTERS = "dead letters"


@dataclass(frozen=True, slots=True)
class SinkTopic:
    """`processor` is empty for the dead letters."""

    name: str
    role: TopicRole
    topic_id: bytes
    processor: str = ""


@dataclass(frozen=True)
class TopicTable:
    """The sink's topics by name, as the broker lists them."""

    topics: Mapping[str, SinkTopic]

    @cached_property
    def may_lease(self) -> bool:
        """True if any job may be claimed by lease. If not, leases need not be looked up at all."""
        return bool(self._processors(TopicRole.LEASED_REQUESTS) | self._processors(TopicRole.FOREIGN_REQUESTS))

    def leased(self, header: Mapping[str, Any]) -> bool:
        """True if this job is claimed by lease, by its processor's contract or, without a contract here, by its header."""
        processor = header["processor"]
        if processor in self._processors(TopicRole.LEASED_REQUESTS):
            return True
        return processor in self._processors(TopicRole.FOREIGN_REQUESTS) and header["custody"] == Custody.LEASE

    @cached_property
    def _by_role(self) -> dict[TopicRole, frozenset[str]]:
        topics = self.topics.values()
        return {role: frozenset(t.processor for t in topics if t.role is role) for role in {t.role for t in topics}}

    def _processors(self, role: TopicRole) -> frozenset[str]:
        return self._by_role.get(role, frozenset())

    def made_again(self, now: TopicTable) -> list[str]:
        """Return the topics that have another id now: they were deleted and created again."""
        known = self.topics
        return [n for n, topic in now.topics.items() if n in known and known[n].topic_id != topic.topic_id]

    def id_of(self, topic: str, printed_id: str) -> bytes | None:
        """Return a topic's id: `printed_id` if it is valid, else the id of the known topic; None if there is neither."""
        known = self.topics.get(topic)
        return (parse_topic_id(printed_id) if printed_id else None) or (known.topic_id if known else None)

    def position(self, coordinates: Mapping[str, object] | None) -> LogPosition | None:
        """Turn coordinates (a plain record) into a position; None if the topic is not known."""
        if coordinates is None:
            return None
        topic_id = self.id_of(str(coordinates["topic"]), str(coordinates.get("topic_id") or ""))
        partition, offset = coordinates["partition"], coordinates["offset"]
        assert isinstance(partition, int)
        assert isinstance(offset, int)
        return None if topic_id is None else LogPosition(topic_id, partition, offset)


def read_topics(admin: LogAdmin, settings: Settings) -> TopicTable:
    """List the broker's topics that the sink reads. Raises Unreachable."""
    names = settings.topics
    try:
        existing = set(admin.list_topics(timeout=TIMEOUT_S).topics)
        roles = {name: role for name in existing if (role := role_of(name, settings, existing)) is not None}
        described = admin.describe_topics(TopicCollection(list(roles)), request_timeout=TIMEOUT_S) if roles else {}
        ids = {name: uuid_bytes(future.result().topic_id) for name, future in described.items()}
    except KafkaException as error:
        raise kafka.translate(error, "listing the topics") from error
    return TopicTable(
        {name: SinkTopic(name, role, ids[name], names.processor_of(name) or "") for name, role in roles.items()}
    )


def role_of(topic: str, settings: Settings, existing: set[str]) -> TopicRole | None:
    """Return the role of `topic`; None if the sink does not read it. `existing`: all topics of the broker.

    A processor is unknown if its contract is not installed here and its results topic does not exist.
    """
    names = settings.topics
    if topic == names.dead_letters:
        return TopicRole.DEAD_LETTERS
    processor = names.processor_of(topic) if topic.startswith(names.prefix) else None
    if processor is None or topic == names.outcomes(processor):
        return None
    if topic == names.results(processor):
        return TopicRole.RESULTS
    if processor in known_processors():
        leased = settings.custody(contract(processor)) is Custody.LEASE
        return TopicRole.LEASED_REQUESTS if leased else TopicRole.REQUESTS
    return TopicRole.FOREIGN_REQUESTS if names.results(processor) in existing else TopicRole.UNKNOWN_REQUESTS


@lru_cache(maxsize=1024)
def parse_topic_id(text: str) -> bytes | None:
    """Parse a topic id as Kafka prints it (base64url, 22 characters) or as a UUID; None for any other text."""
    try:
        return uuid.UUID(text).bytes if len(text) == 36 else _base64_id(text)
    except (ValueError, binascii.Error):
        return None


def _base64_id(text: str) -> bytes | None:
    decoded = base64.urlsafe_b64decode(text + "==") if len(text) == 22 else b""
    return decoded if len(decoded) == 16 else None


def print_topic_id(topic_id: bytes) -> str:
    """Print a topic id as Kafka does (base64url, 22 characters)."""
    return base64.urlsafe_b64encode(topic_id).decode().rstrip("=")
