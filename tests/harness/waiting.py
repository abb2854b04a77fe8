"""Waiting for a condition, and services that run in a thread of the test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

PATIENCE_S = 30.0


Found = TypeVar("Found")


def wait_until(
    condition: Callable[[], Found | None],
    otherwise: Callable[[], str],
    patience_s: float = PATIENCE_S,
    step: Callable[[], object] = lambda: time.sleep(0.02),
) -> Found:
    """Check `condition` until it is true, with `step` between two checks; return its value.

    For sources that send no event a test could await: a database, a log file, another process.
    Raises AssertionError with the text of `otherwise` when it is not true within `patience_s` seconds.
    """
    deadline = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < deadline, otherwise()
        step()
    return found


@contextmanager
def in_thread(run: Callable[[threading.Event], None]) -> Iterator[threading.Event]:
    """Run a service in a thread for the length of a `with` block. Its exception, if any, is raised at the end."""
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
