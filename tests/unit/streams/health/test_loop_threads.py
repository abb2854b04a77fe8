"""A loop that ends before it was asked to is dead, and ends its service with an error."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from schemas.errors import LoopDied
from streams.health.loop_threads import LoopThreads


class Log:
    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, **fields})


def never() -> bool:
    return False


def run(loops: LoopThreads, loop: Any, stopping: Any = never) -> None:
    thread = loops.new("copying", loop, stopping)
    thread.start()
    thread.join()


def fail_on_a_patients_name() -> None:
    raise ValueError("Jane Doe")


def test_an_exception_ends_the_service_and_is_logged_with_its_frames_but_without_its_text() -> None:
    stop, log = threading.Event(), Log()
    loops = LoopThreads("sink", log)
    loops.run_until(stop)

    run(loops, fail_on_a_patients_name)

    assert stop.is_set()
    assert loops.dead == ("the copying loop has ended (ValueError); its error is in the log",)
    [line] = log.lines
    assert (line["event"], line["loop"], line["reason"]) == ("loop_died", "copying", "ValueError")
    assert line["frames"][0].startswith("fail_on_a_patients_name (test_loop_threads.py:")
    assert "Jane" not in str(log.lines)
    with pytest.raises(LoopDied, match="The sink has ended: the copying loop has ended"):
        loops.raise_if_dead()


def test_a_loop_that_returns_early_is_dead_too() -> None:
    loops = LoopThreads("sink", Log())
    run(loops, lambda: None)
    assert loops.dead == ("the copying loop has ended (it returned); its error is in the log",)


def test_a_loop_that_returns_because_it_was_asked_to_is_not_dead() -> None:
    loops = LoopThreads("sink", Log())
    run(loops, lambda: None, stopping=lambda: True)
    assert loops.dead == ()
    loops.raise_if_dead()


def test_a_death_before_the_service_runs_stops_it_at_once() -> None:
    loops, stop = LoopThreads("sink", Log()), threading.Event()
    run(loops, lambda: None)
    loops.run_until(stop)
    assert stop.is_set()


def test_a_loop_that_is_no_thread_can_note_its_death_itself() -> None:
    loops, stop = LoopThreads("notify", Log()), threading.Event()
    loops.run_until(stop)
    loops.died("claiming", KeyError("x"))
    assert stop.is_set()
    assert "claiming" in loops.dead[0]
