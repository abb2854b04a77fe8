"""Lag counts unfinished records, and knows their age; no commit is not 0."""

from __future__ import annotations

import base64
import time
from contextlib import closing
from datetime import UTC, datetime

import pytest
from confluent_kafka import TopicPartition

from connectors.sink_store import OffsetRow
from schemas.errors import Unreachable
from schemas.records import ECHO
from streams import wiring
from streams.admin import lag
from streams.admin.lag import Lag, PartitionLag, partition_lag
from streams.log import kafka
from streams.log.memory import MemoryLog
from streams.log.topic_ids import topic_ids
from streams.settings import Settings
from streams.worker.kafka_source.offset_metadata import encode
from streams.worker.kafka_source.offsets import OffsetSpan, Snapshot
from tests.harness.events import AT
from tests.harness.lease_rows import waiting_jobs
from tests.harness.stores import Stores

TOPIC = "requests.echo"
HOUR_S = 3600.0


def write(settings: Settings, *hours_ago: float, topic: str = TOPIC, partition: int = 0) -> None:
    producer = kafka.producer(settings)
    for hours in hours_ago:
        at_ms = int((time.time() - hours * HOUR_S) * 1000)
        producer.produce(topic, b"x", partition=partition, timestamp=at_ms)
    producer.flush()


def commit(
    settings: Settings, offset: int, metadata: str = "", *, group: str = "workers.echo", topic: str = TOPIC
) -> None:
    with closing(kafka.consumer(settings, group)) as consumer:
        consumer.commit(offsets=[TopicPartition(topic, 0, offset, metadata)], asynchronous=False)


def lags(settings: Settings) -> dict[tuple[str, str], Lag]:
    return {(each.group, each.topic): each for each in lag.lags(settings, [ECHO])}


def of_workers(settings: Settings) -> Lag:
    return lags(settings)["workers.echo", TOPIC]


def test_a_new_group_is_at_zero_and_one_that_never_began_has_no_commit(settings: Settings) -> None:
    write(settings, 0, topic="results.echo")
    found = lags(settings)
    workers, sink = found["workers.echo", TOPIC], found["sink", "results.echo"]
    assert (workers.records, workers.seconds, workers.no_commit) == (0, None, 0)
    assert (sink.records, sink.no_commit, found["sink", TOPIC].no_commit) == (None, 1, 0)


def test_the_age_is_that_of_the_oldest_unfinished_record(settings: Settings) -> None:
    write(settings, 5, 3, 1)
    write(settings, 2, partition=1)
    commit(settings, 1)
    found = of_workers(settings)
    assert (found.records, round((found.seconds or 0) / HOUR_S, 2)) == (3, 3.0)
    assert [(each.first, each.records) for each in found.partitions] == [(1, 2), (0, 1)]


def test_work_that_is_finished_out_of_order_is_no_lag(settings: Settings) -> None:
    write(settings, 9, 8, 7, 6, 5, 4, 3, 2)
    of_topic = topic_ids(settings, [TOPIC])[TOPIC]
    done = Snapshot(1, 7, (OffsetSpan(1, 2), OffsetSpan(4, 6, in_flight=True)))
    commit(settings, 1, encode(done, of_topic, is_open=True))
    found = of_workers(settings)
    assert (found.records, round((found.seconds or 0) / HOUR_S, 2)) == (4, 8.0)  # 1, 4, 5 and 7
    commit(settings, 1, encode(done, "another-topic-of-this-name", is_open=True))
    assert of_workers(settings).partitions[0].committed is None


@pytest.mark.parametrize(
    ("committed", "begin", "end", "expected"),
    [
        (-1001, 0, 5, (None, 0)),
        (-1001, 5, 5, (None, 5)),
        (5, 0, 5, (0, 5)),
        (3, 0, 5, (2, 3)),
        (3, 4, 5, (1, 4)),  # retention deleted offset 3: it will never be run
        (9, 0, 5, (0, 5)),  # the log was cut
    ],
)
def test_only_records_that_the_log_has_are_lag(
    committed: int, begin: int, end: int, expected: tuple[int | None, int]
) -> None:
    found = partition_lag(0, (committed, None), "id", begin, end)
    assert (found.records, found.first) == expected


def test_a_partition_that_ends_with_a_marker_of_a_transaction_has_no_lag(settings: Settings) -> None:
    write(settings, 1, 1)
    log = MemoryLog.at(settings.bootstrap)
    assert log is not None
    log.topic(TOPIC).partitions[0].end += 1
    commit(settings, 2)
    assert of_workers(settings).records == 0


def test_the_sinks_offsets_are_those_of_its_store_and_the_mirror_only_stands_in(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(settings, 4, 3, 2, topic="results.echo")
    topic_id = base64.urlsafe_b64decode(f"{topic_ids(settings, ['results.echo'])['results.echo']}==")
    with closing(wiring.sink_store(settings)) as store:
        store.learn_topics({topic_id: "results.echo"})
        [claimed] = store.claim("sink", {(topic_id, 0): 0}).values()
        store.store([], [], [OffsetRow("sink", topic_id, 0, claimed.epoch, claimed.next_offset, 2, 0)])
    commit(settings, 1, group="sink", topic="results.echo")
    found = lags(settings)["sink", "results.echo"]
    assert (found.records, found.source, round((found.seconds or 0) / HOUR_S, 2)) == (1, "postgres", 2.0)

    def away(_: Settings) -> None:
        raise Unreachable("Postgres does not answer.")

    monkeypatch.setattr(wiring, "monitor_store", away)
    found = lags(settings)["sink", "results.echo"]
    assert (found.records, found.source) == (2, "mirror")


def test_a_time_that_is_not_known_is_none() -> None:
    behind = PartitionLag(0, 1, 0, 3, 2, 1, None)
    assert Lag.of("g", "t", [behind], datetime.now(UTC)).seconds is None


def test_jobs_that_are_claimed_by_lease_are_counted_by_the_store(settings: Settings) -> None:
    leased = settings.model_copy(update={"leased": ("echo",)})
    with closing(Stores(leased)) as stores:
        waiting_jobs(stores, 3)
    found = lags(leased)
    live, bulk = found["leases.echo", TOPIC], found["leases.echo", f"{TOPIC}.bulk"]
    assert (live.records, live.source, bulk.records, bulk.seconds) == (3, "postgres", 0, None)
    assert live.seconds == pytest.approx((datetime.now(UTC) - AT).total_seconds(), abs=60)
    assert ("workers.echo", TOPIC) not in found
