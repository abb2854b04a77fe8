"""A service that was told to stop ends within a bound, loudly if it must.

The signal is heard by a thread of its own, through the wake-up pipe: a main thread that hangs in a library's call would hear
nothing. What is lost by ending so is what SIGKILL loses: nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

from schemas.errors import ExitCode

#: Seconds beyond SLUICE_DRAIN_S that a stopping service has to close what it opened. Then it is ended.
CLOSE_S = 8.0
_STOPS = (signal.SIGTERM, signal.SIGINT)


class Watchdog:
    """From `listen` on, SIGTERM and SIGINT set `stop`, and `limit_s` later the process ends. A second SIGINT ends it at
    once."""

    def __init__(self, stop: threading.Event, limit_s: float, log: Any) -> None:
        self._stop = stop
        self._limit_s = limit_s
        self._log = log
        self._told = threading.Event()
        self._main = threading.main_thread()
        #: By the two ways a signal is heard: each hears all of them, or none.
        self._interrupts = {"pipe": 0, "handler": 0}

    def listen(self) -> None:
        """Called from the main thread, once."""
        read, write = os.pipe()
        os.set_blocking(write, False)
        for number in _STOPS:
            signal.signal(number, self._on_signal)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        threading.Thread(target=self._hear, args=(read,), name="signals", daemon=True).start()

    def begin(self) -> None:
        """The process shall end: from now on the time is counted. Again, it does nothing."""
        if not self._told.is_set():
            self._told.set()
            threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def _hear(self, read: int) -> None:
        while signals := os.read(read, 16):
            for number in signals:
                if number in _STOPS:
                    self._heard(number, "pipe")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Without a handler Python would end the process. And an event loop may have taken the wake-up pipe for itself."""
        self._heard(number, "handler")

    def _heard(self, number: int, by: str) -> None:
        if number == signal.SIGINT:
            self._interrupts[by] += 1
            if self._interrupts[by] > 1:
                os._exit(ExitCode.INTERRUPTED)
        self._begin_to_stop(number)

    def _begin_to_stop(self, number: int) -> None:
        if not self._stop.is_set():
            self._stop.set()
            self._log.info("stopping", signal=signal.Signals(number).name)
        self.begin()

    def _watch(self) -> None:
        # A thread that is no longer waited for ends with the process, so this only runs on in a process that does not end.
        time.sleep(self._limit_s)
        self._log.error(
            "stop_timed_out",
            seconds=self._limit_s,
            hangs_in=hanging(self._main),
            next="ended by force; nothing is lost, what it held is done again",
        )
        sys.stderr.flush()
        os._exit(ExitCode.INTERNAL)


def hanging(main: threading.Thread) -> list[str]:
    """Where the threads stand that keep the process from ending: the main one and those it waits for."""
    frames = sys._current_frames()
    waited = [thread for thread in threading.enumerate() if thread is main or not thread.daemon]
    return [
        f"{thread.name}: {_places(frames[thread.ident])}"
        for thread in waited
        if thread.ident is not None and thread.ident in frames
    ]


def _places(frame: FrameType | None, most: int = 4) -> str:
    """The innermost calls, the last one first."""
    places: list[str] = []
    while frame is not None and len(places) < most:
        code = frame.f_code
        places.append(f"{code.co_qualname} ({os.path.basename(code.co_filename)}:{frame.f_lineno})")
        frame = frame.f_back
    return " ← ".join(places)
