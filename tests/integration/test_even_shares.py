"""Sinks share the partitions of every topic evenly, and so do the workers of a processor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from streams.log import kafka
from streams.log.port import LogAdmin
from streams.settings import Settings
from streams.sink import Sink
from tests.harness.group_times import shorten
from tests.harness.installation import installation
from tests.harness.scribe import Scribe, header
from tests.harness.services import running
from tests.harness.waiting import in_thread, wait_until

pytestmark = pytest.mark.stack

MEMBERS = 4
PARTITIONS = 8
#: The largest part of a topic that one of four members may get, as a multiple of a quarter.
LIMIT = 1.5

#: Partitions by member: (topic, number).
Shares = dict[str, set[tuple[str, int]]]


@pytest.fixture
def settings(stack: dict[str, str], tmp_path: Path) -> Iterator[Settings]:
    with installation(stack, tmp_path / "home", partitions=PARTITIONS, processors=("echo", "embed")) as made:
        yield made


def shares(admin: LogAdmin, group: str) -> Shares:
    """Return what each member of the group has now."""
    described = admin.describe_consumer_groups([group])[group].result(10)
    return {
        member.member_id: {(part.topic, part.partition) for part in member.assignment.topic_partitions}
        for member in described.members
    }


def settled_shares(settings: Settings, group: str, members: int) -> Shares:
    """Wait until the members have all partitions, each as many as any other."""
    admin, found = kafka.admin(settings), dict[str, set[tuple[str, int]]]()

    def settled() -> bool:
        found.clear()
        found.update(shares(admin, f"{settings.topic_prefix}{group}"))
        topics = {topic for owned in found.values() for topic, _ in owned}
        counts = [len(owned) for owned in found.values()]
        return len(counts) == members and sum(counts) == len(topics) * PARTITIONS and len(set(counts)) == 1

    wait_until(settled, lambda: f"{group}: {[len(owned) for owned in found.values()]} partitions")
    return found


def records_by_member(settings: Settings, found: Shares, topic: str) -> Counter[str]:
    """Return how many records of `topic` are in the partitions of each member."""
    reader = kafka.reader(settings)
    ends = {
        part: reader.get_watermark_offsets(TopicPartition(topic, part), timeout=10)[1] for part in range(PARTITIONS)
    }
    reader.close()
    return Counter({who: sum(ends[part] for name, part in owned if name == topic) for who, owned in found.items()})


def test_no_sink_of_four_has_more_than_its_share_of_a_busy_topic(settings: Settings, scribe: Scribe) -> None:
    jobs = [header() for _ in range(400)]
    with ExitStack() as sinks:
        for _ in range(MEMBERS):
            sinks.enter_context(in_thread(Sink(settings, notify=False).run))
        found = settled_shares(settings, "sink", MEMBERS)
        scribe.requests(jobs)
        scribe.results(jobs)
        wait_until(lambda: scribe.rows("SELECT count(*) FROM outcomes") == [(len(jobs),)], lambda: "no outcomes")
    for topic in (settings.topics.requests("echo"), settings.topics.results("echo")):
        records = records_by_member(settings, found, topic)
        assert records.total() == len(jobs)
        assert max(records.values()) <= LIMIT * len(jobs) / MEMBERS, records


def test_workers_of_a_processor_share_both_lanes(settings: Settings) -> None:
    shorten(settings, "echo")
    with running(settings, ["worker", "echo"], ["worker", "echo"]):
        found = settled_shares(settings, "workers.echo", members=4)  # of each worker a consumer for each lane
    by_topic = sorted(sorted(Counter(topic for topic, _ in owned).items()) for owned in found.values())
    live, bulk = settings.topics.requests("echo"), settings.topics.requests("echo", "bulk")
    assert by_topic == [[(live, 4)], [(live, 4)], [(bulk, 4)], [(bulk, 4)]]
