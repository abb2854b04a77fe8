"""A job that is not to begin before its time: the child runs it only once the timekeeper has released it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.records import Coordinates
from tests.harness.executor_kit import Kit, Upper

PAST = datetime.now(UTC) - timedelta(days=1)
FUTURE = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(Upper(), tmp_path)


@pytest.mark.parametrize("when", [PAST, FUTURE], ids=["past", "future"])
def test_a_request_before_its_time_is_done_without_a_result_whatever_the_workers_clock_says(
    kit: Kit, when: datetime
) -> None:
    kit.send(kit.request("wait", not_before=when), kit.request("hi"))
    kit.work()
    assert kit.channel.answered[0].postponed
    assert kit.processor.batches == [["hi"]]
    assert kit.code(1) is None


@pytest.mark.parametrize("when", [PAST, FUTURE], ids=["past", "future"])
def test_a_request_runs_once_the_timekeeper_has_released_it(kit: Kit, when: datetime) -> None:
    kit.send(kit.request("hi", not_before=when, source_coordinates=Coordinates("requests.echo", 0, 7)))
    kit.work()
    assert kit.processor.batches == [["hi"]]


def test_an_ordered_processor_rejects_a_request_with_a_start_time(kit: Kit) -> None:
    kit.decoder.ordered = True
    kit.send(kit.request("wait", not_before=FUTURE))
    kit.work()
    assert kit.code(0) == "INVALID_INPUT"
