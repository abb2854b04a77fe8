"""The scope of an audit: topics, offsets, times."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from confluent_kafka import KafkaException

from schemas.errors import NotFound, UsageError
from schemas.topics import BULK
from streams.audit.log_ranges import LogRanges, Part, Span
from streams.log import kafka
from streams.log.not_ready import TIMEOUT_S
from streams.log.topic_ids import topic_ids
from streams.settings import Settings

#: How long a service of ours may take for what it has to do, before that is a finding.
LATE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Scope:
    """`processors`: empty for all. `offsets`: the only partitions to read, with their spans; empty for all partitions.

    `since`, `until`: times of requests; None: as far as the log goes. `tenant`: None for all.
    """

    processors: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    offsets: tuple[tuple[str, int, int, int], ...] = ()
    tenant: str | None = None
    late: timedelta = LATE


@dataclass(frozen=True, slots=True)
class Topics:
    """Topics by role, with their ids: as Kafka prints them, and as 16 bytes."""

    requests: tuple[str, ...]
    results: tuple[str, ...]
    outcomes: tuple[str, ...]
    dead_letters: tuple[str, ...]
    printed: Mapping[str, str]
    ids: Mapping[str, bytes]
    cluster_id: str

    @property
    def later(self) -> tuple[str, ...]:
        """Return the topics of records that follow a request."""
        return self.results + self.outcomes + self.dead_letters


def find_topics(settings: Settings, scope: Scope) -> Topics:
    """Return the topics of this installation that the scope names. Raises NotFound, Unreachable."""
    names = settings.topics
    try:
        described = kafka.admin(settings).list_topics(timeout=TIMEOUT_S)
    except KafkaException as error:
        raise kafka.translate(error, "listing the topics") from error
    existing = sorted(topic for topic in described.topics if topic.startswith(names.prefix))
    processors = {topic: names.processor_of(topic) or "" for topic in existing}
    unknown = set(scope.processors) - set(processors.values())
    if unknown:
        raise NotFound(f"There are no topics of {', '.join(sorted(unknown))}.", next_step="Run `sluice processors`.")
    wanted = [
        topic for topic, name in processors.items() if name and (not scope.processors or name in scope.processors)
    ]
    results, outcomes = (
        tuple(topic for topic in wanted if topic == of(processors[topic])) for of in (names.results, names.outcomes)
    )
    requests = tuple(
        topic for topic in wanted if topic.removesuffix(BULK) == names.requests(processors[topic])
    )  # fmt: skip
    dead = (names.dead_letters,) if names.dead_letters in existing else ()
    printed = topic_ids(settings, [*requests, *results, *outcomes, *dead])
    ids = {name: base64.urlsafe_b64decode(text + "==") for name, text in printed.items()}
    cluster = getattr(described, "cluster_id", None) or "none"
    return Topics(requests, results, outcomes, dead, printed, ids, cluster)


def request_ranges(scope: Scope, log: LogRanges, kept: Mapping[Part, Span]) -> dict[Part, Span]:
    """Return the spans of requests to read. Raises UsageError for offsets of a partition that does not exist, Unreachable."""
    if scope.offsets:
        return dict(_named(scope.offsets, kept))
    starts = log.from_time(kept, scope.since)
    stops = {part: high for part, (_, high) in kept.items()}
    if scope.until is not None:
        stops = log.from_time(kept, scope.until)
    return {part: (starts[part], max(starts[part], stops[part])) for part in kept}


def _named(
    offsets: Iterable[tuple[str, int, int, int]], kept: Mapping[Part, Span]
) -> Iterable[tuple[Part, Span]]:  # fmt: skip
    for topic, partition, start, stop in offsets:
        if (topic, partition) not in kept:
            raise UsageError(
                f"{topic} has no partition {partition} that the audit reads.",
                next_step="Name a topic of requests, as `requests.echo:0:100-200`.",
            )
        low, high = kept[topic, partition]
        yield (topic, partition), (min(max(low, start), high), max(min(stop, high), min(max(low, start), high)))
