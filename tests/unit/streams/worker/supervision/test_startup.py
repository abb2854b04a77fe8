"""Errors of processors that can't start."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from schemas.errors import StartupError, Unreachable
from streams.worker.child.exit import startup_timeout
from streams.worker.protocol import load_trace
from streams.worker.supervision.startup import (
    MARGIN_S,
    StartupTracker,
    combined_error,
    describe_exit,
    hang_traceback,
)


@pytest.fixture
def startup(tmp_path: Path) -> StartupTracker:
    made = StartupTracker("words", tmp_path, 60.0)
    made.began(0.0)
    return made


def test_a_process_that_dies_three_times_before_it_is_ready_is_given_up(startup: StartupTracker) -> None:
    assert [startup.ended(1, -9, 1.0), startup.ended(2, -9, 2.0)] == [0.0, 0.0]
    with pytest.raises(StartupError, match=r"'words' died 3 times while starting \(killed by SIGKILL\)"):
        startup.ended(3, -9, 3.0)


def test_a_processor_that_was_ready_once_is_started_again_with_growing_pauses(
    startup: StartupTracker,
) -> None:
    startup.ready()
    assert startup.ended(1, -9, 1.0) == 0.0, "it died at work, not at its start"
    startup.began(1.0)
    assert [startup.ended(pid, 1, 2.0) for pid in range(2)] == [1.0, 2.0]
    with pytest.raises(
        StartupError, match="died 3 times"
    ):  # its jobs must not wait for it: the engine leaves its group
        startup.ended(3, 1, 2.0)
    startup.ready()
    startup.began(9.0)
    assert startup.ended(9, 1, 9.0) == 1.0


def test_a_start_that_is_too_stuck_to_end_itself_is_killed(startup: StartupTracker) -> None:
    assert not startup.hangs(60.0 + MARGIN_S - 0.1)
    assert startup.hangs(60.0 + MARGIN_S)
    with pytest.raises(StartupError, match="not ready within 60 s"):
        startup.ended(1, -9, 60.0 + MARGIN_S)
    startup.ready()
    assert not startup.hangs(1e9)


def test_a_block_that_is_done_in_time_leaves_nothing(tmp_path: Path) -> None:
    with startup_timeout(load_trace(tmp_path, os.getpid()), 60.0):
        assert hang_traceback(tmp_path, os.getpid()) is None
    assert list(tmp_path.iterdir()) == []


def test_exit_statuses_are_described_in_words() -> None:
    assert [describe_exit(3), describe_exit(-11), describe_exit(-63)] == [
        "exit status 3",
        "killed by SIGSEGV",
        "killed by signal 63",
    ]


def test_the_error_of_a_single_processor_is_raised_as_it_is() -> None:
    error = StartupError("Processor 'a' can't start.")
    assert combined_error({"a": error}, [], []) is error


def test_a_worker_of_several_names_the_broken_and_the_others() -> None:
    broken = StartupError("Processor 'a' can't start.", next_step="Install it.")
    also = StartupError("Processor 'b' hangs.")
    error = combined_error({"a": broken, "b": also}, ["echo", "embed"], ["slow"])
    assert isinstance(error, StartupError)
    assert error.next_step == "Install it."
    for words in ("'a' can't start", "'b' hangs", "'echo', 'embed' could start", "'slow' were still loading"):
        assert words in error.message


def test_an_error_after_the_start_is_raised_as_it_is() -> None:
    away = Unreachable("Kafka is away.")
    assert combined_error({"a": away}, ["b"], []) is away
