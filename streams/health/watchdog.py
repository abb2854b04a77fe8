"""Ends a stopping service within a time limit, by force if it hangs, and logs where it hung.

A thread of its own receives the signals through the wake-up pipe, because a main thread that hangs in a library's call runs no
signal handler. A handler runs in the middle of whatever the main thread does, which may hold the lock of `stop`, so ours only
writes to the pipe. Ending by force loses no more than SIGKILL does: nothing.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import Any

from schemas.errors import ExitCode

#: Seconds beyond SLUICE_DRAIN_S that a stopping service has to close its resources. Then it is ended by force.
CLOSE_S = 8.0
#: Seconds more until the process is ended even if no Python thread can run, because one keeps the GIL.
_GIL_S = 2.0
_STOPS = (signal.SIGTERM, signal.SIGINT)
#: Added to a signal's number by our handler; Python writes the plain number.
_BY_HANDLER = 0x80


class Watchdog:
    """After `listen`, SIGTERM and SIGINT set `stop`. Once `stop` is set, by a signal, a dead loop or a failed part, the process
    is ended after `limit_s`; by a second SIGINT at once."""

    def __init__(self, stop: threading.Event, limit_s: float, log: Any) -> None:
        self._stop = stop
        self._limit_s = limit_s
        self._log = log
        self._counting = threading.Lock()  # taken once, for ever
        self._main = threading.main_thread()
        #: SIGINTs by each of the two ways a signal arrives: each way gets all of them, or none.
        self._interrupts = {False: 0, True: 0}
        self._pipe = -1

    def listen(self) -> None:
        """Install the signal handlers. Call once, from the main thread."""
        read, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)
        for number in _STOPS:
            signal.signal(number, self._on_signal)
        signal.set_wakeup_fd(self._pipe, warn_on_full_buffer=False)
        threading.Thread(target=self._read_signals, args=(read,), name="signals", daemon=True).start()
        threading.Thread(target=self._begin_once_stopped, name="watchdog-start", daemon=True).start()

    def begin(self) -> None:
        """Start the time limit of the process. Calling it again does nothing."""
        if self._counting.acquire(blocking=False):
            faulthandler.dump_traceback_later(self._limit_s + _GIL_S, exit=True, file=sys.__stderr__ or 2)
            threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def _begin_once_stopped(self) -> None:
        self._stop.wait()
        self.begin()

    def _read_signals(self, read: int) -> None:
        while signals := os.read(read, 16):
            for byte in signals:
                number, by_handler = byte & ~_BY_HANDLER, bool(byte & _BY_HANDLER)
                if number in _STOPS:
                    self._received(number, by_handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Pass a signal on to the thread: an event loop may have replaced the wake-up pipe."""
        with suppress(BlockingIOError):  # full of signals
            os.write(self._pipe, bytes([number | _BY_HANDLER]))

    def _received(self, number: int, by_handler: bool) -> None:
        if number == signal.SIGINT:
            self._interrupts[by_handler] += 1
            if self._interrupts[by_handler] > 1:
                os._exit(ExitCode.INTERRUPTED)
        self._begin_to_stop(number)

    def _begin_to_stop(self, number: int) -> None:
        self.begin()  # first: once `stop` is set, another thread may take the GIL and keep it
        if not self._stop.is_set():
            self._stop.set()
            self._log.info("stopping", signal=signal.Signals(number).name)

    def _watch(self) -> None:
        # A daemon thread: if the process ends in time, this thread ends with it.
        time.sleep(self._limit_s)
        self._log.error(
            "stop_timed_out",
            seconds=self._limit_s,
            hangs_in=hanging(self._main),
            next="ended by force; nothing is lost, its jobs in flight run again",
        )
        sys.stderr.flush()
        os._exit(ExitCode.INTERNAL)


def hanging(main: threading.Thread) -> list[str]:
    """Return the innermost calls of the threads that keep the process alive: the main one and those it waits for."""
    frames = sys._current_frames()
    blocking = [thread for thread in threading.enumerate() if thread is main or not thread.daemon]
    return [
        f"{thread.name}: {_innermost_calls(frames[thread.ident])}"
        for thread in blocking
        if thread.ident is not None and thread.ident in frames
    ]


def _innermost_calls(frame: FrameType | None, limit: int = 4) -> str:
    """Return the last calls of a stack, the innermost first."""
    calls: list[str] = []
    while frame is not None and len(calls) < limit:
        code = frame.f_code
        calls.append(f"{code.co_qualname} ({os.path.basename(code.co_filename)}:{frame.f_lineno})")
        frame = frame.f_back
    return " ← ".join(calls)
