"""Runs several tasks at once, all or nothing, and cancels them in an orderly way.

While a group runs, Ctrl-C, SIGTERM and SIGHUP only set a flag. Every loop that may last calls `check`, which raises Cancelled
once the flag is set. The signal takes its usual effect at the end, when nothing is left half done.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# The main thread wakes up this often, so that Python runs the handler of a signal.
_WAKE_SECONDS = 0.1


class Cancelled(Exception):
    """The tasks were cancelled: a signal arrived, or another task of the group failed."""


class TaskGroup:
    """Tasks that succeed or are cancelled together."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self.signal: signal.Signals | None = None

    def check(self) -> None:
        """Raise Cancelled if the group was cancelled."""
        if self._cancelled.is_set():
            raise Cancelled

    def cancel(self) -> None:
        self._cancelled.set()

    def run(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Run all tasks at once. The first failure cancels the others, and is raised when all have ended."""
        if not tasks:
            return
        with ThreadPoolExecutor(len(tasks)) as pool:
            futures = [pool.submit(task) for task in tasks]
            while not self._all_ended(futures):
                pass
        failures = [error for future in futures if (error := future.exception()) is not None]
        causes = [error for error in failures if not isinstance(error, Cancelled)]
        if failures:
            raise (causes or failures)[0]

    def _all_ended(self, futures: list[Future[None]]) -> bool:
        ended, running = wait(futures, timeout=_WAKE_SECONDS, return_when=FIRST_EXCEPTION)
        if any(future.exception() is not None for future in ended):
            self.cancel()
        return not running

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.signal = self.signal or signal.Signals(number)
        self.cancel()


@contextmanager
def task_group() -> Iterator[TaskGroup]:
    """Yield a group that a signal cancels; after the block the signal takes its usual effect."""
    group = TaskGroup()
    if threading.current_thread() is not threading.main_thread():
        yield group
        return
    previous = {number: signal.signal(number, group._on_signal) for number in _SIGNALS}
    try:
        yield group
    except Cancelled:
        pass
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if group.signal is signal.SIGINT:
        raise KeyboardInterrupt
    if group.signal is not None:
        raise SystemExit(128 + group.signal)
