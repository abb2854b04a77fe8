"""Differences between the declared topics and those on the broker."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from schemas.errors import Conflict
from schemas.records import ECHO
from schemas.registry import MemoryRegistry
from schemas.topics import Topic, TopicNames, declared
from streams.admin import subjects
from streams.admin.changes import Change, ChangeKind
from streams.admin.group_offsets import worker_groups
from streams.admin.topics import BrokerTopic, differences
from streams.settings import Settings

TOPIC = Topic("outcomes.echo", 12, 1000, None, compacted=True)


def there(partitions: int = 12, config: Mapping[str, str] = {}) -> dict[str, BrokerTopic]:
    return {TOPIC.name: BrokerTopic(partitions, {**TOPIC.config(), **config})}


def test_a_topic_that_is_missing_is_made() -> None:
    (change,) = differences([TOPIC], {})
    assert (change.kind, change.target) == (ChangeKind.CREATE_TOPIC, "outcomes.echo")


def test_a_topic_as_declared_is_left_alone() -> None:
    assert differences([TOPIC], there()) == []


def test_the_order_of_clean_up_policies_does_not_matter() -> None:
    assert differences([TOPIC], there(config={"cleanup.policy": "delete,compact"})) == []


def test_another_retention_is_altered() -> None:
    assert differences([TOPIC], there(config={"retention.ms": "5"})) == [
        Change(ChangeKind.ALTER_CONFIG, "outcomes.echo", "retention.ms 5 → 1000")
    ]


def test_partitions_are_added() -> None:
    assert differences([TOPIC], there(4)) == [Change(ChangeKind.ADD_PARTITIONS, "outcomes.echo", "4 → 12")]


def test_partitions_are_never_removed_but_reported() -> None:
    (change,) = differences([TOPIC], there(24))
    assert change.kind is ChangeKind.WARNING
    assert "can't be removed" in change.detail


def test_a_worker_group_reads_both_lanes_under_the_prefix() -> None:
    (group,) = worker_groups(Settings(topic_prefix="lab."), [ECHO])
    assert (group.name, group.topics) == ("lab.workers.echo", ("lab.requests.echo", "lab.requests.echo.bulk"))


def wanted() -> dict[str, str]:
    return {t.subject: t.schema for t in declared([ECHO], TopicNames()) if t.schema is not None}


def test_every_subject_is_registered_once() -> None:
    registry = MemoryRegistry()
    planned = subjects.plan(registry, wanted())
    assert subjects.apply(registry, wanted()) == planned
    assert registry.subjects() == sorted(wanted())
    assert subjects.plan(registry, wanted()) == subjects.apply(registry, wanted()) == []


class Strict(MemoryRegistry):
    """The twin, with one rule: a subject's schema never changes."""

    def check(self, subject: str, schema: str) -> list[str]:
        return ["a field has no default"] if subject in self.subjects() else []


def test_a_schema_that_does_not_fit_stops_everything_before_anything_is_registered() -> None:
    registry = Strict()
    registry.register("results.echo-value", '"string"')
    with pytest.raises(Conflict, match=r"results\.echo-value.*a field has no default"):
        subjects.apply(registry, wanted())
    assert registry.subjects() == ["results.echo-value"]


def test_the_plan_warns_of_a_schema_that_does_not_fit() -> None:
    registry = Strict()
    registry.register("results.echo-value", '"string"')
    warnings = [change for change in subjects.plan(registry, wanted()) if change.kind is ChangeKind.WARNING]
    assert [change.target for change in warnings] == ["results.echo-value"]
