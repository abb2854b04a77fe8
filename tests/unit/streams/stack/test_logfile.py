"""Logs stay bounded while they are written."""

from __future__ import annotations

from pathlib import Path

from streams.stack.logfile import bound, tail


def test_a_small_log_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "kafka.log"
    log.write_text("line\n")
    bound(log, max_bytes=100)
    assert log.read_text() == "line\n"
    assert list(tmp_path.iterdir()) == [log]


def test_a_missing_log_is_no_error(tmp_path: Path) -> None:
    bound(tmp_path / "none.log")
    assert tail(tmp_path / "none.log") == ""


def test_a_large_log_is_rotated_and_old_ones_are_deleted(tmp_path: Path) -> None:
    log = tmp_path / "sink.log"
    for age in range(5):
        log.write_text(f"{age} is too long\n")
        bound(log, max_bytes=5, kept=3)
    assert log.read_text() == ""
    assert [(tmp_path / f"sink.log.{n}").read_text()[0] for n in (1, 2, 3)] == ["4", "3", "2"]
    assert not (tmp_path / "sink.log.4").exists()


def test_a_process_with_the_log_open_goes_on_writing_at_its_new_start(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with log.open("ab", buffering=0) as held:
        held.write(b"before\n")
        bound(log, max_bytes=1)
        held.write(b"after\n")
    assert log.read_bytes() == b"after\n"
    assert (tmp_path / "worker.log.1").read_bytes() == b"before\n"


def test_the_tail_is_the_last_lines_with_long_ones_cut(tmp_path: Path) -> None:
    log = tmp_path / "registry.log"
    log.write_text("\n".join(["first", "second", "x" * 10_000]))
    lines = tail(log, lines=2).splitlines()
    assert lines[0] == "second"
    assert lines[1].startswith("xxx")
    assert len(lines[1]) < 1000


def test_the_tail_leaves_out_stack_frames_and_keeps_the_causes(tmp_path: Path) -> None:
    log = tmp_path / "kafka.log"
    log.write_text("BindException: in use\n\tat sun.nio.Net.bind0(Net.java:1)\nCaused by: no port\n\t... 3 more\n")
    assert tail(log) == "BindException: in use\nCaused by: no port"


def test_invalid_utf8_does_not_hide_the_log(tmp_path: Path) -> None:
    log = tmp_path / "postgres.log"
    log.write_bytes(b"caf\xe9 is closed\n")
    assert "is closed" in tail(log)
