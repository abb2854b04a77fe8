"""When a process that died is started again, and how its failures are shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from streams.stack.restarts import BACKOFF_S, FILE, Restarts, last_error, read_restarts, write_restarts

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)


def after(failures: int) -> Restarts:
    restarts = Restarts("sink")
    for _ in range(failures):
        restarts = restarts.failed("has died", "error: no database", NOW)
    return restarts


def test_the_first_failure_waits_for_nothing_and_each_further_one_longer() -> None:
    waits = [after(failures).wait_s for failures in range(1, 12)]
    assert waits[0] == 0
    assert waits == sorted(waits)
    assert waits[-1] == waits[-2] == BACKOFF_S[-1]


def test_a_crash_loop_shows_as_such_with_the_last_error_and_the_time_of_the_next_try() -> None:
    failed = after(4)
    assert failed.crash_loop
    assert "4 times in a row" in str(failed)
    assert "its log says: error: no database" in str(failed)
    assert failed.next_at == NOW + timedelta(seconds=4)
    assert "started again at 12:00:04 UTC" in str(failed)


def test_two_failures_are_no_crash_loop() -> None:
    assert not after(2).crash_loop
    assert str(after(1)).startswith("failed once; last at 12:00:00 UTC: it has died")


def test_failures_are_read_as_they_were_written(tmp_path: Path) -> None:
    written = (after(3), Restarts("kafka"))
    write_restarts(tmp_path, written)
    assert read_restarts(tmp_path) == written


@pytest.mark.parametrize("content", ["", "{}", "[1]", '[{"name": "sink"}]'])
def test_a_damaged_file_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    assert read_restarts(tmp_path) == ()


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (["error: The broker is away.", "  Start it."], "error: The broker is away."),
        (
            [
                json.dumps(
                    {
                        "event": "loop_died",
                        "level": "error",
                        "loop": "commits",
                        "reason": "KeyError",
                        "timestamp": "2026-01-02T12:00:00Z",
                    }
                ),
                "bye",
            ],
            "loop_died loop=commits reason=KeyError",
        ),
        ([json.dumps({"event": "stopped", "level": "info"})], None),
        (["2026-11-28T12:20:57,740 INFO Kafka Server started"], None),
        (["Segmentation fault"], "Segmentation fault"),
        (
            ["FATAL:  could not write lock file", "LOG: database system is shut down"],
            "FATAL:  could not write lock file",
        ),
        ([], None),
    ],
)
def test_the_last_error_of_a_log(tmp_path: Path, lines: list[str], error: str | None) -> None:
    log = tmp_path / "sink.log"
    log.write_text("".join(f"{line}\n" for line in lines))
    assert last_error(log) == error


def test_an_error_of_an_earlier_process_is_not_the_last_one(tmp_path: Path) -> None:
    log = tmp_path / "sink.log"
    log.write_text(json.dumps({"event": "store_unavailable", "level": "error", "timestamp": NOW.isoformat()}) + "\n")
    assert last_error(log, since=NOW) == "store_unavailable"
    assert last_error(log, since=NOW + timedelta(seconds=1)) is None
