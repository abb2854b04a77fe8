"""`threading`, `time`, queues and pools for simulated threads: the services' modules get them in place of the real ones."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty
from types import ModuleType, SimpleNamespace
from typing import Any

from tests.injection.simulation import SimThread, Waiter, current

#: 2026-06-01, so that a clock of the simulation is never before a record's real time.
EPOCH_S = time.time()


class Lock:
    def __init__(self) -> None:
        self._owner: SimThread | None = None
        self._depth = 0
        self._waiting: list[Waiter] = []

    reentrant = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        simulation = current()
        me = simulation.running
        while self._owner is not None and not (self.reentrant and self._owner is me):
            if not blocking or not (simulation.wait(self._waiting, None if timeout < 0 else timeout) or timeout < 0):
                return False
        self._owner, self._depth = me, self._depth + 1
        return True

    def release(self) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = None
            current().wake_all(self._waiting, 1)

    def locked(self) -> bool:
        return self._owner is not None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def give_up(self) -> int:
        """Release whatever the depth; return it for `take_back`."""
        depth, self._depth = self._depth, 1
        self.release()
        return depth

    def take_back(self, depth: int) -> None:
        while self._owner is not None:
            current().wait(self._waiting, None)
        self._owner, self._depth = current().running, depth


class RLock(Lock):
    reentrant = True


class Condition:
    def __init__(self, lock: Lock | None = None) -> None:
        self._lock = lock or RLock()
        self._waiting: list[Waiter] = []
        self.acquire, self.release = self._lock.acquire, self._lock.release

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        depth = self._lock.give_up()
        try:
            return current().wait(self._waiting, timeout)
        finally:
            self._lock.take_back(depth)

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        until = None if timeout is None else current().now + timeout
        result = predicate()
        while not result:
            left = None if until is None else until - current().now
            if left is not None and left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result

    def notify(self, n: int = 1) -> None:
        current().wake_all(self._waiting, n)

    def notify_all(self) -> None:
        current().wake_all(self._waiting)


class Event:
    def __init__(self) -> None:
        self._set = False
        self._waiting: list[Waiter] = []

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        current().wake_all(self._waiting)

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        if not self._set:
            current().wait(self._waiting, timeout)
        return self._set


class Timer(SimThread):
    def __init__(self, interval: float, function: Callable[..., object], args: Any = (), kwargs: Any = None) -> None:
        self._ended = Event()
        super().__init__(target=self._later, name="timer")
        self._call = (interval, function, args, kwargs or {})

    def cancel(self) -> None:
        self._ended.set()

    def _later(self) -> None:
        interval, function, args, kwargs = self._call
        if not self._ended.wait(interval):
            function(*args, **kwargs)


class Queue:
    """queue.SimpleQueue."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._waiting: list[Waiter] = []

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        self._items.append(item)
        current().wake_all(self._waiting, 1)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        until = None if timeout is None else current().now + timeout
        while not self._items:
            left = None if until is None else until - current().now
            if not block or (left is not None and left <= 0):
                raise Empty
            current().wait(self._waiting, left)
        return self._items.popleft()

    def get_nowait(self) -> Any:
        return self.get(block=False)

    def empty(self) -> bool:
        return not self._items


class Future:
    """concurrent.futures.Future."""

    def __init__(self) -> None:
        self._done = Event()
        self._result: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Future], Any]] = []

    def set_result(self, result: Any) -> None:
        self._result = result
        self._end()

    def set_exception(self, error: BaseException | None) -> None:
        self._error = error
        self._end()

    def result(self, timeout: float | None = None) -> Any:
        if (error := self.exception(timeout)) is not None:
            raise error
        return self._result

    def exception(self, timeout: float | None = None) -> BaseException | None:
        if not self._done.wait(timeout):
            raise TimeoutError
        return self._error

    def done(self) -> bool:
        return self._done.is_set()

    def add_done_callback(self, callback: Callable[[Future], Any]) -> None:
        self._callbacks.append(callback)
        if self.done():
            callback(self)

    def _end(self) -> None:
        self._done.set()
        for callback in self._callbacks:
            callback(self)


class Pool:
    """concurrent.futures.ThreadPoolExecutor: a thread for each call."""

    def __init__(self, max_workers: int | None = None, thread_name_prefix: str = "") -> None:
        self._name = thread_name_prefix

    def submit(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Future:
        future = Future()

        def run() -> None:
            try:
                result = call(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - as a pool does
                future.set_exception(error)
            else:
                future.set_result(result)

        SimThread(target=run, name=self._name).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Threads end by themselves."""


THREADING = SimpleNamespace(
    Thread=SimThread,
    Event=Event,
    Lock=Lock,
    RLock=RLock,
    Condition=Condition,
    Timer=Timer,
    current_thread=lambda: current().running,
    get_ident=lambda: current().running.ident,
)
TIME = SimpleNamespace(
    monotonic=lambda: current().monotonic(),
    monotonic_ns=lambda: int(current().monotonic() * 1e9),
    perf_counter=lambda: current().monotonic(),
    sleep=lambda seconds: current().sleep(seconds),
    time=lambda: EPOCH_S + current().now,
    time_ns=lambda: int((EPOCH_S + current().now) * 1e9),
)


@contextmanager
def simulated_modules(*rooms: str) -> Iterator[None]:
    """Give the modules of these rooms that are loaded now the simulation's threads and time."""
    changed: list[tuple[ModuleType, str, Any]] = []
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith(tuple(f"{room}." for room in rooms)):
            for name, real, simulated in _REPLACED:
                if module.__dict__.get(name) is real:
                    changed.append((module, name, real))
                    setattr(module, name, simulated)
    try:
        yield
    finally:
        for module, name, real in changed:
            setattr(module, name, real)


def _replaced() -> list[tuple[str, object, object]]:
    from concurrent import futures
    from queue import SimpleQueue

    return [
        ("threading", threading, THREADING),
        ("time", time, TIME),
        ("ThreadPoolExecutor", futures.ThreadPoolExecutor, Pool),
        ("Future", futures.Future, Future),
        ("SimpleQueue", SimpleQueue, Queue),
    ]


_REPLACED = _replaced()
