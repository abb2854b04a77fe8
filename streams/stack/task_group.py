"""Doing several things at once, all or nothing, without exceptions that strike at a random line.

While it lasts, Ctrl-C, SIGTERM and SIGHUP only set a flag. Every loop that may last asks the flag through `check` and
gives up in an orderly way; the signal's meaning is carried out at the end, when nothing half-done is left.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# The main thread wakes this often, so that a signal's handler gets to run.
_WAKE_SECONDS = 0.1


class Cancelled(Exception):
    """The work was abandoned: a signal came, or a neighbour failed."""


class TaskGroup:
    """One piece of joint work, and whether it is still wanted."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self.signal: signal.Signals | None = None

    def check(self) -> None:
        if self._over.is_set():
            raise Cancelled

    def give_up(self) -> None:
        self._over.set()

    def run(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Run all at once. The first failure makes the others give up, and is raised when every one has ended."""
        if not tasks:
            return
        with ThreadPoolExecutor(len(tasks)) as pool:
            futures = [pool.submit(task) for task in tasks]
            while not self._settled(futures):
                pass
        failures = [error for future in futures if (error := future.exception()) is not None]
        real = [error for error in failures if not isinstance(error, Cancelled)]
        if failures:
            raise (real or failures)[0]

    def _settled(self, futures: list[Future[None]]) -> bool:
        done, left = wait(futures, timeout=_WAKE_SECONDS, return_when=FIRST_EXCEPTION)
        if any(future.exception() is not None for future in done):
            self.give_up()
        return not left

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.signal = self.signal or signal.Signals(number)
        self.give_up()


@contextmanager
def attempt() -> Iterator[TaskGroup]:
    """Work that a signal ends in order; afterwards the signal takes its usual effect."""
    work = TaskGroup()
    if threading.current_thread() is not threading.main_thread():
        yield work
        return
    before = {number: signal.signal(number, work._on_signal) for number in _SIGNALS}
    try:
        yield work
    except Cancelled:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if work.signal is signal.SIGINT:
        raise KeyboardInterrupt
    if work.signal is not None:
        raise SystemExit(128 + work.signal)
