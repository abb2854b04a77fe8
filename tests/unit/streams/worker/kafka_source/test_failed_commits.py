"""Failed commits show in the log: one line for a row of them, because they may come ten times a second."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition

from streams.worker.in_flight import InFlightJobs
from streams.worker.kafka_source.assigned_partitions import AssignedPartitions

PLACES = [TopicPartition("requests.echo", 0, 5), TopicPartition("requests.echo", 1, 5)]
AWAY = KafkaError(KafkaError._TRANSPORT)


def test_a_row_of_failed_commits_is_one_line_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    unused: Any = None
    partitions = AssignedPartitions(unused, InFlightJobs(), unused, unused, 0, 1, lambda assignments, jobs: None)
    for error in (AWAY, AWAY, None, AWAY):
        partitions.on_commit_answer(error, PLACES)
    assert capsys.readouterr().err.count("commit_failed") == 2
