"""Waiting for a condition, and services that run in a thread of the test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_S = 30.0


def wait_until(true: Callable[[], bool], otherwise: Callable[[], str], patience_s: float = PATIENCE_S) -> None:
    """Poll until it is so. Raises AssertionError that says how it is instead."""
    until = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < until, otherwise()
        time.sleep(0.02)


@contextmanager
def in_thread(run: Callable[[threading.Event], None]) -> Iterator[threading.Event]:
    """A service for the length of a `with` block; what it raises is raised at the end."""
    stop = threading.Event()
    raised: list[BaseException] = []

    def target() -> None:
        try:
            run(stop)
        except BaseException as error:  # noqa: BLE001 (handed to the test)
            raised.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
        assert raised == []
