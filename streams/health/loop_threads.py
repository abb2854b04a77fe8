"""The threads of one service. A loop that ends before it was asked to is dead: health says so, and the service ends."""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable
from typing import Any

from schemas.errors import LoopDied


class LoopThreads:
    """Starts a service's loops and notices when one dies, by an exception or by an early return.

    A service whose loop is dead ends: `run_until` sets the service's `stop` at the first death, and `raise_if_dead` raises it
    once everything is closed. `sluice up` or an orchestrator starts the service again. Thread-safe.
    """

    def __init__(self, service: str, log: Any) -> None:
        self._service = service
        self._log = log
        self._lock = threading.Lock()
        self._dead: list[str] = []
        self._stop: threading.Event | None = None

    @property
    def dead(self) -> tuple[str, ...]:
        """Return a sentence for each dead loop, for `evaluate(dead=…)`."""
        return tuple(self._dead)

    def run_until(self, stop: threading.Event) -> None:
        """Set this event at the first death, or at once if a loop is dead already."""
        with self._lock:
            self._stop = stop
            if self._dead:
                stop.set()

    def new(
        self, name: str, loop: Callable[[], None], stopping: Callable[[], bool], *, daemon: bool = True
    ) -> threading.Thread:
        """Return a thread that runs `loop`, not started yet. `stopping` returns True once the loop may end."""
        return threading.Thread(target=self._run, args=(name, loop, stopping), name=name, daemon=daemon)

    def died(self, name: str, error: BaseException | None) -> None:
        """Note a death: `error` ended the loop, or it returned early (None). Loops that are not threads call this."""
        # Without the exception's text, which may quote a patient's value.
        reason = "it returned" if error is None else type(error).__name__
        self._log.error("loop_died", loop=name, reason=reason, frames=[] if error is None else frames_of(error))
        with self._lock:
            self._dead.append(f"the {name} loop has ended ({reason}); its error is in the log")
            if self._stop is not None:
                self._stop.set()

    def raise_if_dead(self) -> None:
        """Raise LoopDied if a loop is dead."""
        if self._dead:
            raise LoopDied(
                f"The {self._service} has ended: {'; '.join(self._dead)}.",
                next_step="Start it again; `sluice up` does so by itself. Search its log for loop_died.",
            )

    def _run(self, name: str, loop: Callable[[], None], stopping: Callable[[], bool]) -> None:
        error: BaseException | None = None
        try:
            loop()
        except BaseException as caught:  # noqa: BLE001 - noted and raised by `raise_if_dead`, on the service's thread
            error = caught
        # An exception while stopping is noted as well: it may have kept the loop from finishing its work.
        if error is not None or not stopping():
            self.died(name, error)


def frames_of(error: BaseException) -> list[str]:
    """Return where an exception was raised, the innermost call first, without its text."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return [f"{frame.name} ({os.path.basename(frame.filename)}:{frame.lineno})" for frame in reversed(frames)]
