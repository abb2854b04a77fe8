"""Calls are repeated while something is unreachable, until the service stops or the time is over."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from schemas.errors import Unreachable
from streams import logs
from streams.log.reconnect import Stopped, until_reachable

log = logs.get("test")


def failing(times: int) -> Callable[[], str]:
    left = [None] * times

    def ask() -> str:
        if left:
            left.pop()
            raise Unreachable("It is away.")
        return "answer"

    return ask


def test_a_call_is_repeated_until_it_is_answered_and_each_failure_is_logged() -> None:
    with capture_logs() as lines:
        assert until_reachable(failing(3), threading.Event(), log, "store_unavailable", pauses=(0.0, 0.001)) == "answer"
    assert [line["event"] for line in lines] == ["store_unavailable"] * 3
    assert [line["retry_in_s"] for line in lines] == [0.0, 0.001, 0.001]


def test_a_stop_ends_the_wait() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        until_reachable(failing(1), stop, log, "store_unavailable", pauses=(60.0,))


def test_the_error_is_raised_when_the_time_is_over() -> None:
    with pytest.raises(Unreachable):
        until_reachable(failing(1), threading.Event(), log, "store_unavailable", limit_s=0)
