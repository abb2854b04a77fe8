"""Threads that take turns, in virtual time: a service runs unchanged, the same way each time, and never waits in earnest.

Exactly one thread runs at a time; it gives its turn away only where it waits. When all wait, time moves to the first that is
due. A process is the threads that one start has made. `kill` ends a process as SIGKILL does: from then on none of its threads
reaches anything outside, whatever its `finally` blocks try.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

#: Real seconds that one thread may keep its turn. Only an endless loop does.
TURN_S = 60.0
#: Virtual seconds that each look at the clock takes, so that a loop that only looks at it ends.
LOOK_S = 1e-6


class Killed(BaseException):
    """The process was killed; unwinds its threads. No `except Exception` sees it."""


class Deadlock(AssertionError):
    """Every thread waits for another one."""


class Process:
    """A start of a service. `died`: exceptions that ended one of its threads unseen."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.threads: list[SimThread] = []
        self.children: list[Process] = []
        self.died: list[BaseException] = []
        #: Called when the process is killed: what the outside notices of it.
        self.on_kill: list[Callable[[], None]] = []


def _taken() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


class Waiter:
    __slots__ = ("done", "thread", "woken")

    def __init__(self, thread: SimThread) -> None:
        self.thread = thread
        self.done = self.woken = False


class SimThread:
    """Has the interface of threading.Thread, as far as the services use it."""

    process: Process

    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        daemon: bool | None = None,
        process: Process | None = None,
    ) -> None:
        self._simulation = current()
        self.process = process or self._simulation.running.process
        self.name = name or "thread"
        self.daemon = bool(daemon)
        self.ident: int | None = None
        self.finished = False
        self.waiter: Waiter | None = None
        self._work = (target or (lambda: None), args, kwargs or {})
        self._joining: list[Waiter] = []
        self.turn = _taken()
        self.error: BaseException | None = None

    def start(self) -> None:
        self._simulation.check()
        self.ident = next(self._simulation.numbers)
        self.process.threads.append(self)
        threading.Thread(target=self._run, name=f"sim-{self.name}", daemon=True).start()
        self._simulation.runnable.append(self)

    def is_alive(self) -> bool:
        return self.ident is not None and not self.finished

    def join(self, timeout: float | None = None) -> None:
        if not self.finished:
            self._simulation.wait(self._joining, timeout)

    def _run(self) -> None:
        self.turn.acquire()
        target, args, kwargs = self._work
        try:
            self._simulation.check()
            target(*args, **kwargs)
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - as an uncaught exception of a thread: only stderr hears of it
            if not self.process.dead:
                self.error = error
                self.process.died.append(error)
        self.finished = True
        self._simulation.wake_all(self._joining)
        self._simulation.hand_over()


class Simulation:
    """`begin` and `end` enclose a run; the calling thread is the process "driver"."""

    def __init__(self) -> None:
        self.now = 0.0
        self.numbers = itertools.count(1)
        self.runnable: deque[SimThread] = deque()
        self._timers: list[tuple[float, int, Waiter]] = []
        self.processes: list[Process] = []
        self.driver = Process("driver")
        self.running: SimThread
        self.main: SimThread
        self.deadlock = False

    def begin(self) -> None:
        global _current
        _current = self
        main = SimThread.__new__(SimThread)
        main._simulation, main.process, main.name = self, self.driver, "driver"
        main.finished, main.turn, main.ident, main.waiter = False, _taken(), 0, None
        self.main = self.running = main

    def end(self) -> None:
        """Kill everything, let the threads unwind, and forget the simulation."""
        global _current
        for process in self.processes:
            self.kill(process)
        while self.runnable:
            self.sleep(0.0)
        _current = None

    # ── time ──

    def monotonic(self) -> float:
        self.now += LOOK_S
        return 1000.0 + self.now

    def sleep(self, seconds: float) -> None:
        self.wait([], max(0.0, seconds))

    # ── turns ──

    def wait(self, queue: list[Waiter], timeout: float | None) -> bool:
        """Wait in `queue` until woken (True) or until `timeout` is over (False)."""
        self.check()
        thread = self.running
        waiter = thread.waiter = Waiter(thread)
        queue.append(waiter)
        if timeout is not None:
            heapq.heappush(self._timers, (self.now + max(0.0, timeout), next(self.numbers), waiter))
        self.hand_over()
        if not thread.turn.acquire(timeout=TURN_S):
            raise Deadlock(f"a thread has kept its turn for {TURN_S} s")
        thread.waiter = None
        if not waiter.woken and waiter in queue:
            queue.remove(waiter)
        if self.deadlock and thread.process is self.driver:
            raise Deadlock("every thread waits for another one")
        self.check()
        return waiter.woken

    def wake_all(self, queue: list[Waiter], most: int | None = None) -> None:
        for waiter in queue[:most]:
            queue.remove(waiter)
            if not waiter.done:
                waiter.done = waiter.woken = True
                self.runnable.append(waiter.thread)

    def hand_over(self) -> None:
        """Give the turn to the next thread that can run; if there is none, let time pass."""
        while not self.runnable:
            if not self._timers:
                self.deadlock = True
                self.runnable.append(self.main)
                break
            at, _, waiter = heapq.heappop(self._timers)
            if not waiter.done:
                self.now = max(self.now, at)
                waiter.done = True
                self.runnable.append(waiter.thread)
        self.running = self.runnable.popleft()
        self.running.turn.release()

    # ── processes ──

    def process(self, name: str, parent: Process | None = None) -> Process:
        process = Process(name)
        self.processes.append(process)
        if parent is not None:
            parent.children.append(process)
        return process

    def kill(self, process: Process) -> None:
        """End a process and its children now. Its threads only unwind; the calling one, if it is one of them, by Killed."""
        if not process.dead:
            process.dead = True
            for thread in process.threads:
                if (waiter := thread.waiter) is not None and not waiter.done:
                    waiter.done = True
                    self.runnable.append(thread)
            for call in process.on_kill:
                call()
            for child in process.children:
                self.kill(child)

    def check(self) -> None:
        """Raise Killed in a thread of a dead process."""
        if self.running.process.dead:
            raise Killed


_current: Simulation | None = None


def is_running() -> bool:
    """True if a simulation runs: a coroutine of a killed process may be collected later."""
    return _current is not None


def current() -> Simulation:
    assert _current is not None, "no simulation runs"
    return _current
