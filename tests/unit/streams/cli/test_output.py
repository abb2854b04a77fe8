"""Text and JSON as commands print them."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from schemas.states import State
from streams.cli.output import duration, jsonable, one_line, out_json, table
from streams.cli.status import as_table, without_passwords
from streams.client.submitter import Submitted
from streams.health.ask import HealthAnswer
from streams.health.service_files import ServiceFile
from streams.stack import ComponentState, StackState


@dataclass(frozen=True)
class Sample:
    state: State
    at: datetime
    raw: bytes
    where: Path


def test_everything_we_print_becomes_json() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    sample = Sample(State.FAILED, at, b"\xff", Path("/x"))
    plain = {"state": "FAILED", "at": "2026-01-02T03:04:05+00:00", "raw": "/w==", "where": "/x"}
    assert jsonable([sample, Submitted("j", "t", 1, 2)]) == [
        plain,
        {"job_id": "j", "topic": "t", "partition": 1, "offset": 2},
    ]


def test_json_lines_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    out_json({"message": "grüße\n"}, indent=None)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"message": "grüße\n"}
    assert "grüße" in out


def test_a_table_aligns_its_columns_and_cuts_nothing() -> None:
    long = "x" * 300
    lines = table([("a", long), ("bbbb", None)], ("NAME", "VALUE")).splitlines()
    assert lines == ["NAME  VALUE", f"a     {long}", "bbbb  -"]


def test_texts_of_strangers_steer_no_terminal_and_read_back_as_they_were(capsys: pytest.CaptureFixture[str]) -> None:
    steering = "\x1b[2J\r\x07\x9b\u202e"
    out_json({"name": steering})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"name": steering}
    assert not set(steering) & {"\x1b", "\r", "\x07", "\x9b", "\u202e"} & set(printed)
    assert table([(f"a\n{steering}",)], ("NAME",)).splitlines()[1] == "a\\n\\u001b[2J\\u000d\\u0007\\u009b\\u202e"
    assert one_line("ok äöü 日本 👩‍🔬") == "ok äöü 日本 👩‍🔬"


def test_times_in_a_table_are_utc() -> None:
    noon = datetime(2026, 1, 2, 12, tzinfo=timezone(timedelta(hours=2)))
    assert table([(noon,)], ("AT",)).splitlines()[1] == "2026-01-02 10:00:00"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (119, "119 s"), (600, "10 min"), (9000, "2 h"), (400_000, "5 d")]
)
def test_durations_are_printed_in_a_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def state_with_password() -> StackState:
    address = "postgresql://sluice:secret@127.0.0.1:5432/sluice"
    component = ComponentState("postgres", True, Path("/log"), 7, 5432, address, "18", 5_000_000, datetime.now(UTC))
    return without_passwords(StackState((component,), (ComponentState("sink", False, Path("/sink.log")),)))


def test_the_status_prints_addresses_without_their_passwords() -> None:
    assert "secret" not in json.dumps(jsonable(state_with_password()))
    assert "127.0.0.1:5432/sluice" in as_table(state_with_password(), [])


def test_the_status_of_a_stopped_service_names_its_log() -> None:
    assert "sink      stopped" in as_table(state_with_password(), [])
    assert "/sink.log" in as_table(state_with_password(), [])


def test_up_names_the_state_of_a_service_as_status_does() -> None:
    file = ServiceFile("sink", socket.gethostname(), 7, "http://127.0.0.1:1", datetime.now(UTC))
    answer = HealthAnswer(file, {"ready": True, "alive": True, "reasons": []})
    sink = ComponentState("sink", True, Path("/sink.log"), 7, started_at=datetime.now(UTC))
    assert "sink  ready" in as_table(StackState((), (sink,)), [answer])
