"""Tasks run all or nothing, and a signal takes effect after an orderly end."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from schemas.errors import StartupError
from streams.stack.task_group import Cancelled, TaskGroup, task_group


def until_cancelled(group: TaskGroup, ended: list[str]) -> None:
    try:
        while True:
            group.check()
    except Cancelled:
        ended.append("in order")
        raise


def test_tasks_run_at_the_same_time() -> None:
    meeting, met = threading.Barrier(3, timeout=20), list[int]()
    TaskGroup().run([lambda: met.append(meeting.wait())] * 3)
    assert sorted(met) == [0, 1, 2]


def test_a_group_without_tasks_ends_at_once() -> None:
    TaskGroup().run([])


def test_the_first_failure_cancels_the_others_and_is_raised() -> None:
    group, ended = TaskGroup(), list[str]()

    def fail() -> None:
        raise StartupError("no port")

    with pytest.raises(StartupError, match="no port"):
        group.run([lambda: until_cancelled(group, ended), fail])
    assert ended == ["in order"]


@pytest.mark.parametrize(
    ("number", "meaning"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit), (signal.SIGHUP, SystemExit)],
)
def test_a_signal_takes_effect_after_every_task_has_ended(number: signal.Signals, meaning: type[BaseException]) -> None:
    ended: list[str] = []
    handler = signal.getsignal(number)
    with pytest.raises(meaning), task_group() as group:
        group.run([lambda: until_cancelled(group, ended), lambda: os.kill(os.getpid(), number)])
    assert ended == ["in order"]
    assert signal.getsignal(number) is handler


def test_a_second_signal_does_not_disturb_the_orderly_end() -> None:
    ended: list[str] = []

    def interrupted_twice() -> None:
        with task_group() as group:
            try:
                group.run([lambda: until_cancelled(group, ended), lambda: os.kill(os.getpid(), signal.SIGINT)])
            finally:
                os.kill(os.getpid(), signal.SIGINT)
                ended.append("cleaned up")

    with pytest.raises(KeyboardInterrupt):
        interrupted_twice()
    assert ended == ["in order", "cleaned up"]


def test_the_usual_handlers_are_left_alone_outside_the_main_thread() -> None:
    done: list[bool] = []

    def elsewhere() -> None:
        with task_group() as group:
            group.run([lambda: done.append(True)])

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert done == [True]
