"""An asyncio loop within a simulated thread: it waits in virtual time, and its executor calls at once."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

from tests.injection.primitives import Event
from tests.injection.simulation import Killed, current, is_running

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Selector(selectors.SelectSelector):
    """Waits for a call from another thread, or for time to pass; no socket is ever ready.

    In a dead process it raises once and then never waits, so that the loop's tasks unwind. `skipped`: what it did not wait.
    """

    def __init__(self) -> None:
        super().__init__()
        self.called = Event()
        self.skipped = 0.0
        self._raised = False

    def select(self, timeout: float | None = None) -> list[Any]:
        if current().running.process.dead:
            if not self._raised:
                self._raised = True
                raise Killed
            self.skipped += timeout or 0.0
        elif timeout is None or timeout > 0:
            try:
                self.called.wait(timeout)
            except Killed:
                self._raised = True
                raise
            self.called.clear()
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._sim_selector = _Selector()
        super().__init__(self._sim_selector)

    def time(self) -> float:
        return current().monotonic() + self._sim_selector.skipped

    def _write_to_self(self) -> None:
        self._sim_selector.called.set()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - as an executor does
            future.set_exception(error)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Note an exception that no task has taken as a thread's death; a killed process says nothing."""
        if not is_running():
            return
        process, error = current().running.process, context.get("exception")
        if not process.dead and isinstance(error, Exception):
            process.died.append(error)
