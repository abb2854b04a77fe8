"""Every topic, declared as data. `sluice topics plan` and `sluice topics apply` compare it with the broker."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from schemas.avsc import request_schema, result_schema, self_contained
from schemas.contract import AnyContract
from schemas.states import Lane

DAY_MS = 24 * 60 * 60 * 1000
#: A job that waits is read again from the log, which keeps requests for 14 days.
LONGEST_WAIT = timedelta(days=13)
#: Suffix of the request topics of the bulk lane.
BULK = ".bulk"


@dataclass(frozen=True, slots=True)
class Topic:
    """`schema`: the self-contained Avro schema of its values; None for dead letters, which keep the original bytes, and for
    the router's own records. `fixed`: partitions are never added, because a key must stay in its partition."""

    name: str
    partitions: int
    retention_ms: int
    schema: str | None
    compacted: bool = False
    fixed: bool = False

    @property
    def subject(self) -> str:
        """Subject in the registry, by Confluent's TopicNameStrategy."""
        return f"{self.name}-value"

    def config(self) -> dict[str, str]:
        policy = "compact,delete" if self.compacted else "delete"
        return {"cleanup.policy": policy, "retention.ms": str(self.retention_ms)}


@dataclass(frozen=True, slots=True)
class TopicNames:
    """Topic names by role. `prefix` lets several installations share a cluster."""

    prefix: str = ""

    def requests(self, processor: str, lane: str = Lane.LIVE) -> str:
        return f"{self.prefix}requests.{processor}{BULK if lane == Lane.BULK else ''}"

    def results(self, processor: str) -> str:
        return f"{self.prefix}results.{processor}"

    def outcomes(self, processor: str) -> str:
        return f"{self.prefix}outcomes.{processor}"

    @property
    def uploads(self) -> str:
        return f"{self.prefix}uploads"

    @property
    def progress(self) -> str:
        return f"{self.prefix}progress"

    @property
    def control(self) -> str:
        return f"{self.prefix}control"

    @property
    def dead_letters(self) -> str:
        return f"{self.prefix}dead-letters"

    @property
    def join_parts(self) -> str:
        """Parts of joins, regrouped by case: the router writes and reads them."""
        return f"{self.prefix}join-parts"

    @property
    def join_state(self) -> str:
        """The changelog of the router's table."""
        return f"{self.prefix}join-state"

    def processor_of(self, topic: str) -> str | None:
        """Return the processor of a requests, results or outcomes topic; None for any other topic."""
        kind, dot, rest = topic.removeprefix(self.prefix).partition(".")
        if not dot or kind not in ("requests", "results", "outcomes"):
            return None
        return rest.removesuffix(BULK) if kind == "requests" else rest


def declared(
    contracts: Iterable[AnyContract], names: TopicNames, partitions: int = 12, *, joins: bool = False
) -> list[Topic]:
    """Return every topic of this installation, in the order of their creation. `joins`: the router's rules have some."""
    topics = [
        Topic(names.uploads, partitions, 7 * DAY_MS, self_contained("Upload")),
        Topic(names.progress, partitions, 1 * DAY_MS, self_contained("Progress")),
        Topic(names.control, partitions, 15 * DAY_MS, self_contained("Control"), compacted=True),
        Topic(names.dead_letters, partitions, 90 * DAY_MS, None),
    ]
    if joins:
        topics += [
            Topic(names.join_parts, partitions, 7 * DAY_MS, None, fixed=True),
            Topic(names.join_state, partitions, 30 * DAY_MS, None, compacted=True, fixed=True),
        ]
    for contract in contracts:
        request, result = request_schema(contract), result_schema(contract)
        topics += [
            Topic(names.requests(contract.name), partitions, 14 * DAY_MS, request),
            Topic(names.requests(contract.name, Lane.BULK), partitions, 14 * DAY_MS, request),
            Topic(names.results(contract.name), partitions, 30 * DAY_MS, result),
            Topic(names.outcomes(contract.name), partitions, 30 * DAY_MS, result, compacted=True),
        ]
    return topics
