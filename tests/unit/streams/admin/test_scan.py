"""A scan says whether it is complete, and why not; following and the newest records obey the same filters."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from schemas.ids import new_id
from schemas.records import EchoInput
from streams.admin import tail
from streams.admin.log_range import Span
from streams.admin.record_filter import RecordFilter
from streams.admin.records import LogRecord
from streams.admin.scan import Scan
from streams.admin.tail import TopicReader
from streams.client.submitter import Submitter
from streams.log import kafka
from streams.settings import Settings
from tests.unit.streams.admin.records_kit import TOPIC, at, stored, write

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def scanned(settings: Settings, span: Span = tail.EVERYTHING, **limits: Any) -> tuple[Scan, list[LogRecord]]:
    with TopicReader(settings, TOPIC, span=span) as reader:
        scan = Scan(reader.range.total, **limits)
        return scan, list(reader.scan(scan))


def test_a_scan_that_reads_everything_is_complete(settings: Settings) -> None:
    write(settings, *({"value": b"x"} for _ in range(9)), {"value": b"x", "partition": 1})
    scan, records = scanned(settings)
    assert (scan.partial, scan.read, scan.total, scan.share, scan.matched) == (None, 10, 10, 1.0, 10)
    assert len(records) == 10


def test_a_scan_that_ends_at_a_limit_says_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    write(settings, *({"value": b"x"} for _ in range(9)))
    scan, records = scanned(settings, max_records=4)
    assert (len(records), scan.partial) == (4, "--max 4 was reached after 4 of 9 records")
    scan, records = scanned(settings, max_records=9)
    assert (len(records), scan.partial) == (9, None)
    monkeypatch.setattr("streams.admin.scan.BATCH", 2)
    scan, records = scanned(settings, timeout_s=-1.0)
    assert (scan.timed_out, len(records), scan.partial) == (True, 2, "--timeout -1 s was over after 2 of 9 records")


def test_a_scan_of_records_that_have_left_the_log_is_partial(settings: Settings) -> None:
    write(settings, *({"value": b"x", "timestamp": at(DAY + timedelta(hours=n))} for n in range(10)))
    stored(settings).delete_before(4)
    scan, records = scanned(settings, Span(partition=0, first=2, last=6))
    assert ([r.offset for r in records], scan.partial) == (
        [4, 5, 6],
        "retention: offsets 2 to 3 of requests.echo[0] have left the log",
    )
    assert "before offset 4" in str(scanned(settings, Span(since=DAY))[0].partial)
    assert scanned(settings, Span(since=DAY + timedelta(hours=5)))[0].complete
    assert scanned(settings)[0].complete  # everything that the log has


def test_retention_that_overtakes_a_scan_is_noticed(settings: Settings) -> None:
    write(settings, *({"value": b"x"} for _ in range(10)))
    with TopicReader(settings, TOPIC) as reader:
        stored(settings).delete_before(7)
        scan = Scan(reader.range.total)
        assert [record.offset for record in reader.scan(scan)] == [7, 8, 9]
    assert scan.partial == "retention: offsets 0 to 6 of requests.echo[0] left the log meanwhile"


def test_following_filters_and_ends_at_the_limit(settings: Settings) -> None:
    write(settings, {"value": b"before", "key": b"k"})
    with TopicReader(settings, TOPIC, RecordFilter(key="k")) as reader:
        write(settings, {"value": b"1", "key": b"k"}, {"value": b"2", "key": b"other"}, {"value": b"3", "key": b"k"})
        records = list(reader.follow(threading.Event(), Scan(0, max_records=2)))
    assert [record.value for record in records] == [b"1", b"3"]


def test_following_goes_on_where_the_log_begins_if_retention_overtakes_it(settings: Settings) -> None:
    with TopicReader(settings, TOPIC) as reader:
        write(settings, *({"value": b"%d" % n} for n in range(4)))
        stored(settings).delete_before(2)
        records = list(reader.follow(threading.Event(), Scan(0, max_records=2)))
    assert [record.value for record in records] == [b"2", b"3"]


def test_the_newest_records_that_a_filter_selects_are_those_of_the_whole_topic(settings: Settings) -> None:
    write(settings, *({"value": b"%d" % n, "key": b"%d" % (n % 3), "timestamp": 1000 + n} for n in range(30)))
    with TopicReader(settings, TOPIC, RecordFilter(key="1")) as reader:
        assert [record.value for record in reader.last(2, Scan(reader.range.total))] == [b"25", b"28"]


def test_reading_moves_no_offset(settings: Settings) -> None:
    with Submitter(settings) as submitter:
        submitter.submit("echo", EchoInput("a"))
    places = [TopicPartition(TOPIC, number) for number in range(2)]
    with closing(kafka.consumer(settings, "workers.echo")) as consumer:
        before = [(p.offset, p.metadata) for p in consumer.committed(places)]
        with TopicReader(settings, TOPIC, RecordFilter(job_id=new_id())) as reader:
            assert list(reader.everything()) == []
        assert [(p.offset, p.metadata) for p in consumer.committed(places)] == before
