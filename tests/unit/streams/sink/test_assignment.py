"""Where the sink begins to read: topics made again, partitions added, retention, a cut log, a group that a tool reset."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import Message, TopicPartition
from confluent_kafka.cimpl import NewPartitions, NewTopic
from structlog.testing import capture_logs

from connectors.sink_store import ClaimedOffsets
from schemas.errors import SluiceError
from streams.log import kafka
from streams.log.memory import MemoryLog
from streams.log.polling import poll_batch
from streams.settings import Settings
from streams.sink import session as session_module
from streams.sink.assignment import TopicMadeAgain
from streams.sink.positions import Positions
from streams.sink.session import Session
from streams.sink.topic_table import read_topics
from tests.harness.sink_kit import job, open_sink, outcomes, states, step_and_settle, step_until_read, write_results

KEY = (b"t" * 16, 0)


def results(settings: Settings) -> str:
    return settings.topics.results("echo")


def make_again(settings: Settings, topic: str) -> None:
    admin = kafka.admin(settings)
    admin.delete_topics([topic])[topic].result()
    admin.create_topics([NewTopic(topic, 2, 1)])[topic].result()


def run_sink(settings: Settings) -> Session:
    sink = open_sink(settings)
    step_and_settle(sink)
    sink.close()
    return sink


def step_and_look(sink: Session, settings: Settings) -> None:
    step_until_read(sink)
    sink.follow(read_topics(kafka.admin(settings), settings))


def test_the_records_of_a_topic_made_again_while_no_sink_ran_are_all_stored(settings: Settings) -> None:
    write_results(settings, [job() for _ in range(9)], partition=0)
    run_sink(settings)
    make_again(settings, results(settings))
    write_results(settings, [job() for _ in range(4)], partition=0)
    run_sink(settings)
    assert states(settings) == {"COMPLETED": 13}


def test_a_topic_made_again_under_a_running_session_ends_it_and_the_next_reads_from_the_beginning(
    settings: Settings,
) -> None:
    write_results(settings, [job() for _ in range(9)], partition=0)
    sink = open_sink(settings)
    step_and_settle(sink)
    make_again(settings, results(settings))
    write_results(settings, [job() for _ in range(4)], partition=0)
    with pytest.raises(SluiceError):
        step_and_look(sink, settings)
    sink.close()
    run_sink(settings)
    assert states(settings) == {"COMPLETED": 13}


def test_a_look_at_the_topics_notices_one_that_was_made_again(settings: Settings) -> None:
    sink = open_sink(settings)
    step_and_settle(sink)
    make_again(settings, results(settings))
    with pytest.raises(TopicMadeAgain, match=results(settings)):
        sink.follow(read_topics(kafka.admin(settings), settings))
    sink.close()


def test_the_records_of_added_partitions_are_stored(settings: Settings) -> None:
    sink = open_sink(settings)
    step_and_settle(sink)
    topic = results(settings)
    kafka.admin(settings).create_partitions([NewPartitions(topic, 4)])[topic].result()
    write_results(settings, [job() for _ in range(3)], partition=3)
    step_and_settle(sink)
    sink.close()
    assert states(settings) == {"COMPLETED": 3}


def test_records_that_retention_deleted_unread_are_named_and_the_others_are_stored(settings: Settings) -> None:
    write_results(settings, [job()], partition=0)
    run_sink(settings)
    write_results(settings, [job() for _ in range(5)], partition=0)
    kafka.admin(settings).delete_records([TopicPartition(results(settings), 0, 4)])
    with capture_logs() as lines:
        sink = run_sink(settings)
    [said] = [line for line in lines if line["event"] == "unread_records_gone"]
    assert (said["topic"], said["partition"], said["records"], sink.assignment.gone) == (results(settings), 0, 3, 3)
    assert states(settings) == {"COMPLETED": 3}
    write_results(settings, [job()], partition=0)
    with capture_logs() as lines:
        run_sink(settings)
    assert "unread_records_gone" not in {line["event"] for line in lines}
    assert states(settings) == {"COMPLETED": 4}


def test_records_deleted_under_a_running_session_end_it_and_the_next_names_them(settings: Settings) -> None:
    write_results(settings, [job()], partition=0)
    sink = open_sink(settings)
    step_and_settle(sink)
    sink._consumer.pause([TopicPartition(results(settings), 0)])
    write_results(settings, [job() for _ in range(5)], partition=0)
    kafka.admin(settings).delete_records([TopicPartition(results(settings), 0, 4)])
    sink._consumer.resume([TopicPartition(results(settings), 0)])
    with pytest.raises(SluiceError):
        step_until_read(sink)
    sink.close()
    assert run_sink(settings).assignment.gone == 3
    assert states(settings) == {"COMPLETED": 3}


def test_a_log_that_was_cut_is_read_again_from_its_beginning() -> None:
    """An unclean leader election: the store has offsets beyond the log's end, and new records take the same offsets."""
    positions = Positions("g")
    assigned = positions.assign(KEY, "results", ClaimedOffsets(10, 8, 3), publishes=True, log=(2, 6))
    assert (assigned.read, assigned.stored, assigned.published) == (2, 2, 2)
    assert positions.mark_read(KEY, 2) is True
    [row] = positions.offset_rows()
    assert (row.expected, row.next_offset, row.published) == (10, 3, 2)
    positions.stored([row])
    assert positions.mark_read(KEY, 3) is True
    [row] = positions.offset_rows()
    assert (row.expected, row.next_offset) == (3, 4)


def test_a_row_that_stands_still_moves_nothing_of_a_cut_log() -> None:
    positions = Positions("g")
    positions.assign(KEY, "results", ClaimedOffsets(10, 8, 3), publishes=True, log=(2, 6))
    positions.mark_read(KEY, 4)
    still = [row.standing_still() for row in positions.offset_rows()]
    positions.stored(still)
    assert positions.read_offsets() == {KEY: 2}
    [row] = positions.offset_rows()
    assert (row.expected, row.next_offset) == (10, 5)


def test_a_group_that_a_tool_reset_changes_nothing(settings: Settings) -> None:
    write_results(settings, [job() for _ in range(5)], partition=0)
    run_sink(settings)
    log = MemoryLog.at(settings.bootstrap)
    assert log is not None
    log.group("sink").committed.clear()
    write_results(settings, [job() for _ in range(2)], partition=0)
    run_sink(settings)
    assert states(settings) == {"COMPLETED": 7}
    assert len(outcomes(settings)) == 7
    assert log.group("sink").committed[results(settings), 0].offset == 7


def test_a_message_left_over_from_an_earlier_assignment_moves_no_position(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within one poll the partition is lost and assigned again: the message came before that."""
    write_results(settings, [job() for _ in range(5)], partition=0)
    sink = open_sink(settings)
    step_until_read(sink)
    write_results(settings, [job() for _ in range(5)], partition=0)
    place = TopicPartition(results(settings), 0)
    dropped: list[Message] = []

    def poll(consumer: Any, *args: Any) -> list[Message]:
        messages = poll_batch(consumer, *args)
        if messages and not dropped:
            dropped.extend(messages)
            sink.assignment.on_lost(consumer, [place])
            sink.assignment.on_assign(consumer, [place])
            return messages[-1:]  # the others were not polled yet
        return messages

    monkeypatch.setattr(session_module, "poll_batch", poll)
    step_and_settle(sink)
    sink.close()
    assert dropped
    assert states(settings) == {"COMPLETED": 10}
