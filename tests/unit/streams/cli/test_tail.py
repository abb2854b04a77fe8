"""`sluice tail`: what is printed, as text, JSON and CSV, and how it ends."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import pytest
from confluent_kafka import TopicPartition

from schemas.errors import ExitCode, UsageError
from streams.admin.records import LogRecord
from streams.cli import record_output
from streams.cli.options import parse_moment
from streams.cli.run import run
from streams.cli.tail import offsets
from streams.log import kafka
from streams.testing import Flow

ESCAPE = "\x1b]0;owned\x07\x1b[31m\r\x9b2J\u202e"


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Flow]:
    with Flow("echo") as made:
        monkeypatch.setattr("streams.settings.load_settings", lambda: made.settings)
        yield made


def write(flow: Flow, *records: dict[str, Any], topic: str = "requests.echo") -> None:
    producer = kafka.producer(flow.settings)
    for record in records:
        producer.produce(topic, **{"partition": 0, **record})
    producer.flush()


def test_no_record_steers_the_terminal(flow: Flow, capsys: pytest.CaptureFixture[str]) -> None:
    flow.submit("echo", {"message": ESCAPE}, external_id=ESCAPE)
    write(
        flow,
        {"value": b"x", "key": ESCAPE + "\nimitated[0]@7", "headers": [("sluice-dl-message", ESCAPE.encode())]},
        {"value": ESCAPE.encode()},
        {"value": json.dumps({ESCAPE: ESCAPE}, ensure_ascii=False).encode()},
    )
    flow.settle()
    assert run(["tail", "echo", "--requests", "--csv"]) == ExitCode.OK
    as_csv = capsys.readouterr().out  # a quoted cell may have several lines
    for form in ((), ("--json",)):
        assert run(["tail", "echo", "--requests", *form]) == ExitCode.OK
    assert run(["tail", "echo"]) == ExitCode.OK
    assert run(["jobs"]) == ExitCode.OK
    printed = capsys.readouterr()
    assert not set("\x1b\x07\r\x9b\u202e") & set(printed.out + printed.err + as_csv)
    assert "\nimitated" not in printed.out


def test_json_lines_hold_a_record_each_and_read_back_unchanged(flow: Flow, capsys: pytest.CaptureFixture[str]) -> None:
    flow.submit("echo", {"message": ESCAPE})
    write(flow, {"value": b"\xff\x00"}, {"value": None, "key": "k"})
    assert run(["tail", "echo", "--requests", "--jsonl"]) == ExitCode.OK
    records = {each["format"]: each for each in map(json.loads, capsys.readouterr().out.splitlines())}
    assert records["avro"]["value"]["input"]["message"] == ESCAPE
    assert (records["bytes"]["value"], records["bytes"]["size"]) == ("ff00", 2)
    assert (records["tombstone"]["value"], records["tombstone"]["key"]) == (None, "k")


def test_csv_has_the_asked_columns_and_no_formula(flow: Flow, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("=1+1", "@cmd", " -2", "+3", "plain, with comma"):
        flow.submit("echo", {"message": text}, order_key="one")
    columns = (
        "--column",
        "text=value.input.message",
        "--column",
        "value.input.delay_ms",
        "--column",
        "value.header.labels",
    )
    assert run(["tail", "echo", "--requests", "--csv", *columns]) == ExitCode.OK
    head, *rows = csv.reader(io.StringIO(capsys.readouterr().out))
    assert head == ["text", "value.input.delay_ms", "value.header.labels"]
    assert [row[0] for row in rows] == ["'=1+1", "'@cmd", "' -2", "'+3", "plain, with comma"]
    assert {(row[1], row[2]) for row in rows} == {("0", "{}")}
    assert run(["tail", "echo", "--column", "key"]) == ExitCode.USAGE


def test_a_scan_ends_with_a_line_that_says_whether_it_is_complete(
    flow: Flow, capsys: pytest.CaptureFixture[str]
) -> None:
    job = flow.submit("echo", {"message": "a"})
    flow.submit("echo", {"message": "b"})
    assert run(["tail", "echo", "--requests", "--job", job, "--jsonl"]) == ExitCode.OK
    printed = capsys.readouterr()
    assert [json.loads(line)["key"] for line in printed.out.splitlines()] == [job]
    assert printed.err.startswith("complete: 1 of 2 records")
    assert run(["tail", "echo", "--requests", "--from", "-15m", "--max", "1"]) == ExitCode.OK
    assert "partial: --max 1 was reached after" in capsys.readouterr().err
    assert run(["tail", "echo", "--requests", "--timeout", "-1", "--from-beginning", "-f"]) == ExitCode.WAIT_TIMED_OUT


def test_records_of_a_range_that_have_left_the_log_are_exit_status_8(
    flow: Flow, capsys: pytest.CaptureFixture[str]
) -> None:
    write(flow, {"value": b"1"}, {"value": b"2"})
    place = TopicPartition("requests.echo", 0, 1)
    kafka.admin(flow.settings).delete_records([place])[place].result()
    assert run(["tail", "echo", "--requests", "--partition", "0", "--offset", "0..1"]) == ExitCode.PARTIAL
    assert "partial: retention: offsets 0 to 0" in capsys.readouterr().err


def test_an_interrupt_ends_a_scan_with_what_was_read(
    flow: Flow, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(flow, *({"value": b"%d" % n} for n in range(9)))
    monkeypatch.setattr("streams.admin.scan.BATCH", 3)
    shown = []

    def interrupt(*_: object) -> None:
        shown.append(1)
        if len(shown) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("streams.cli.scan_progress.ScanProgress.show", interrupt)
    file = tmp_path / "records.jsonl"
    asked = ["tail", "echo", "--requests", "--from-beginning", "--jsonl", "--output", str(file)]
    assert run(asked) == ExitCode.INTERRUPTED
    assert "partial: Ctrl-C after 6 of 9 records" in capsys.readouterr().err
    assert [json.loads(line)["offset"] for line in file.read_text().splitlines()] == list(range(6))
    assert list(tmp_path.iterdir()) == [file]
    file.write_text("yesterday's, complete")
    shown.clear()
    assert run(asked) == ExitCode.INTERRUPTED
    assert "records.jsonl.partial" in capsys.readouterr().err
    assert file.read_text() == "yesterday's, complete"
    assert len((tmp_path / "records.jsonl.partial").read_text().splitlines()) == 6


def test_a_failed_tail_leaves_no_file(flow: Flow, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    assert run(["tail", "echo", "--csv", "--column", "value.", "--output", str(file)]) == ExitCode.USAGE
    assert run(["tail", "echo", "--output", str(tmp_path / "no" / "x")]) == ExitCode.USAGE
    assert list(tmp_path.iterdir()) == []


def test_a_long_value_is_cut_on_a_terminal_with_its_size() -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    long = LogRecord("t", 0, 1, at, "k", {}, {"text": "x" * 50_000}, size=50_010)
    assert record_output.as_text(long, cut=True).endswith(
        "… cut: 50,010 bytes in all; --jsonl, a pipe or --output has everything"
    )
    assert len(record_output.as_text(long)) > 50_000
    raw = LogRecord("t", 0, 1, None, None, {}, bytes(range(256)) * 4, "no frame", "bytes", 1024)
    text = record_output.as_text(raw, cut=True)
    assert "1,024 bytes that can't be decoded: no frame" in text
    assert "  00000040  40 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f  @ABCDEFGHIJKLMNO" in text
    assert text.endswith("… 768 more bytes")


@pytest.mark.parametrize(
    ("text", "ends"), [("5", (5, 5)), ("1..3", (1, 3)), ("7..", (7, None)), ("..9", (None, 9)), (None, (None, None))]
)
def test_offsets_are_a_range_with_both_ends(text: str | None, ends: tuple[int | None, int | None]) -> None:
    assert offsets(text) == ends


@pytest.mark.parametrize("text", ["..", "a", "3..1", "-1", "1..2..3", ""])
def test_another_text_is_no_range_of_offsets(text: str) -> None:
    with pytest.raises(UsageError):
        offsets(text)


def test_times_may_be_written_as_people_say_them() -> None:
    now = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    assert parse_moment("today 09:00", now) == midnight + timedelta(hours=9)
    assert parse_moment("yesterday", now) == midnight - timedelta(days=1)
    assert parse_moment("now", now) == now
    assert parse_moment("2026-03-02T14:00:00+02:00", now) == midnight + timedelta(hours=12)
    assert parse_moment("2026-03-02 14:00", now) == midnight + timedelta(hours=14)
    assert parse_moment("15m", now) is None


def test_an_output_file_keeps_its_mode_a_new_one_is_private_and_an_error_changes_nothing(tmp_path: Path) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    old.write_text("before")
    old.chmod(0o640)
    with record_output.open_output(new) as file:
        file.write("x")
    assert (new.read_text(), new.stat().st_mode & 0o777) == ("x", 0o600)

    def break_off(file: TextIO) -> None:
        file.write("half")
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"), record_output.open_output(old) as file:
        break_off(file)
    assert old.read_text() == "before"
    with record_output.open_output(old) as file:
        file.write("after")
    assert (old.read_text(), old.stat().st_mode & 0o777) == ("after", 0o640)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"]


def test_an_output_that_is_a_link_or_a_fifo_stays_one(tmp_path: Path) -> None:
    target, link, fifo = tmp_path / "target", tmp_path / "link", tmp_path / "fifo"
    link.symlink_to(target)
    with record_output.open_output(link) as file:
        file.write("x")
    assert (link.is_symlink(), target.read_text()) == (True, "x")
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with record_output.open_output(fifo) as file:
            file.write("y")
        assert (os.read(reading, 10), fifo.is_fifo()) == (b"y", True)
    finally:
        os.close(reading)
