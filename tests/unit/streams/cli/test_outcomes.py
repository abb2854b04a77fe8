"""Outcomes as text and JSON, and the exit status they make."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from schemas.errors import ErrorCode, ExitCode
from schemas.records import Coordinates, EchoOutput, ErrorInfo, JobHeader, Result, ResultInfo, Timings
from schemas.states import State
from streams.cli.outcomes import as_json, as_text, exit_code, summary
from streams.client.outcomes import Outcome

AT = datetime(2026, 1, 2, tzinfo=UTC)


def outcome(disposition: str = "succeeded", code: str | None = None) -> Outcome:
    header = JobHeader("a-job", "echo", AT, "hash")
    error = ErrorInfo(code, "no text") if code else None
    info = ResultInfo(disposition, "worker-1", "cpu", Timings(AT, AT, AT), error=error)
    output = EchoOutput("hi", 2) if error is None else None
    return Outcome(Result(header, info, output), Coordinates("outcomes.echo", 3, 14))


COMPLETED = outcome()
FAILED = outcome("failed", ErrorCode.INVALID_INPUT)
EXPIRED = outcome("failed", ErrorCode.DEADLINE_EXCEEDED)
CANCELLED = outcome("cancelled")


@pytest.mark.parametrize(
    ("seen", "state", "status"),
    [
        (COMPLETED, State.COMPLETED, ExitCode.OK),
        (FAILED, State.FAILED, ExitCode.JOB_FAILED),
        (EXPIRED, State.EXPIRED, ExitCode.CANCELLED_OR_EXPIRED),
        (CANCELLED, State.CANCELLED, ExitCode.CANCELLED_OR_EXPIRED),
    ],
    ids=["completed", "failed", "expired", "cancelled"],
)
def test_a_final_result_has_its_state_and_status(seen: Outcome, state: State, status: int) -> None:
    assert (seen.state, seen.exit_code) == (state, status)


@pytest.mark.parametrize(
    ("seen", "expected", "status"),
    [
        ([COMPLETED, COMPLETED], 2, ExitCode.OK),
        ([COMPLETED, FAILED], 2, ExitCode.PARTIAL),
        ([FAILED, FAILED], 2, ExitCode.JOB_FAILED),
        ([FAILED, EXPIRED], 2, ExitCode.JOB_FAILED),
        ([CANCELLED, EXPIRED], 2, ExitCode.CANCELLED_OR_EXPIRED),
        ([COMPLETED], 2, ExitCode.WAIT_TIMED_OUT),
    ],
    ids=["all-done", "some-failed", "all-failed", "failed-and-expired", "none-ran", "not-yet"],
)
def test_many_outcomes_make_one_status(seen: list[Outcome], expected: int, status: int) -> None:
    assert exit_code(seen, expected) == status


def test_the_text_has_the_error() -> None:
    assert "INVALID_INPUT: no text" in as_text(FAILED)


def test_the_text_ends_with_the_output_as_json() -> None:
    first, _, rest = as_text(COMPLETED).partition("\n")
    assert first.startswith("COMPLETED  a-job")
    assert json.loads(rest) == {"message": "hi", "length": 2}


def test_the_json_has_the_coordinates_of_the_outcome() -> None:
    printed = json.loads(json.dumps(as_json(COMPLETED)))
    assert printed["state"] == "COMPLETED"
    assert printed["coordinates"] == {"topic": "outcomes.echo", "partition": 3, "offset": 14, "topic_id": ""}


def test_the_summary_counts_states_and_what_is_open() -> None:
    states = [State.COMPLETED, State.FAILED, State.COMPLETED]
    assert summary(states, 4) == "2 COMPLETED, 1 FAILED, 1 still open"
