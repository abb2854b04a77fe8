"""A reader that assigns its own partitions: positions, pauses, ends, and offsets that are gone."""

from __future__ import annotations

from functools import partial

import pytest
from confluent_kafka import OFFSET_END, KafkaError, KafkaException

from streams.log.not_ready import retry_until_ready
from tests.harness.contract_log import PATIENCE_S, LogUnderTest, first, read, values


def test_a_reader_that_seeks_reads_on_from_there(log: LogUnderTest) -> None:
    log.write("a", "b", "c", partition=0)
    reader = log.reader(log.at(0))
    assert values(read(reader, 3)) == ["a", "b", "c"]
    assert reader.position([log.at(0)])[0].offset == 3
    reader.seek(log.at(0, 1))
    assert values(read(reader, 2)) == ["b", "c"]
    with pytest.raises(KafkaException):
        reader.seek(log.at(1, 0))


def test_a_paused_partition_is_silent_and_loses_nothing(log: LogUnderTest) -> None:
    log.write("quiet", partition=0)
    log.write("loud", partition=1)
    reader = log.reader(log.at(0), log.at(1))
    reader.pause([log.at(0)])
    assert values(read(reader, 1)) == ["loud"]
    assert reader.poll(0.1) is None
    reader.resume([log.at(0)])
    assert values(read(reader, 1)) == ["quiet"]


def test_each_end_of_a_partition_is_reported_once_if_enabled(log: LogUnderTest) -> None:
    log.write("a", partition=0)
    reader = log.reader(log.at(0), **{"enable.partition.eof": True})
    record, end = read(reader, 2)
    assert record.error() is None
    assert (end.error().code(), end.partition(), end.offset()) == (KafkaError._PARTITION_EOF, 0, 1)
    assert reader.poll(0.1) is None
    log.write("b", partition=0)
    assert values(read(reader, 1)) == ["b"]
    assert first(reader).error().code() == KafkaError._PARTITION_EOF


def test_a_reader_that_starts_at_the_end_gets_only_later_records(log: LogUnderTest) -> None:
    log.write("old", partition=0)
    reader = log.reader(log.at(0, OFFSET_END), **{"enable.partition.eof": True})
    assert first(reader).error().code() == KafkaError._PARTITION_EOF
    log.write("new", partition=0)
    assert values(read(reader, 1)) == ["new"]


def test_the_watermarks_are_the_first_kept_and_the_next_offset(log: LogUnderTest) -> None:
    reader = log.reader()
    look = partial(reader.get_watermark_offsets, log.at(0), PATIENCE_S)
    assert retry_until_ready(look) == (0, 0)
    log.write("a", "b", "c", partition=0)
    log.admin.delete_records([log.at(0, 2)])[log.at(0, 2)].result(PATIENCE_S)
    assert look() == (2, 3)


@pytest.mark.parametrize(("reset", "found"), [("earliest", "c"), ("error", None)])
def test_a_deleted_offset_is_an_error_or_the_beginning_as_configured(
    log: LogUnderTest, reset: str, found: str | None
) -> None:
    log.write("a", "b", "c", partition=0)
    log.admin.delete_records([log.at(0, 2)])[log.at(0, 2)].result(PATIENCE_S)
    message = first(log.reader(log.at(0, 0), **{"auto.offset.reset": reset}))
    if found is None:
        assert message.error().code() == KafkaError._AUTO_OFFSET_RESET
        assert message.partition() == 0
    else:
        assert values([message]) == [found]


def test_a_partition_whose_offset_is_gone_goes_on_where_it_is_assigned_again(log: LogUnderTest) -> None:
    log.write("a", "b", "c", partition=0)
    log.admin.delete_records([log.at(0, 2)])[log.at(0, 2)].result(PATIENCE_S)
    reader = log.reader(log.at(0, 0), **{"auto.offset.reset": "error"})
    assert first(reader).error().code() == KafkaError._AUTO_OFFSET_RESET
    reader.incremental_unassign([log.at(0)])
    reader.incremental_assign([log.at(0, 2)])
    assert values(read(reader, 1)) == ["c"]


def test_an_offset_beyond_the_end_is_gone_too(log: LogUnderTest) -> None:
    log.write("a", partition=0)
    message = first(log.reader(log.at(0, 10), **{"auto.offset.reset": "error"}))
    assert message.error().code() == KafkaError._AUTO_OFFSET_RESET


def test_a_time_finds_the_first_record_at_or_after_it(log: LogUnderTest) -> None:
    for at in (1000, 2000, 3000):
        log.write("x", partition=0, timestamp=at)
    reader = log.reader()
    found = [reader.offsets_for_times([log.at(0, at)], PATIENCE_S)[0].offset for at in (1, 2000, 2001, 3001)]
    assert found == [0, 1, 2, OFFSET_END]
