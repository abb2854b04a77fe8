"""Asks the schema registry on a thread of its own, so that no record waits while another one's schema is fetched."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from queue import SimpleQueue
from typing import Any, TypeVar

from schemas.errors import SluiceError, Unreachable
from schemas.registry import SchemaRegistry
from streams import logs
from streams.health.loop_threads import LoopThreads, frames_of

log = logs.get("sink")
T = TypeVar("T")

#: Seconds that a caller waits for an answer while the registry answers.
WAIT_S = 1.0
Key = tuple[object, ...]


class SchemaFetcher:
    """Implements schemas.registry.SchemaRegistry over another registry, which may take a quarter of a minute to say that it is
    away. A call that is not answered soon raises Unreachable; the same call gets the answer later. Thread-safe."""

    def __init__(self, registry: SchemaRegistry) -> None:
        self._registry = registry
        self._lock = threading.Lock()
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._pending: dict[Key, Future[Any]] = {}
        self._answers = True
        self._stopping = False

    def start(self, loops: LoopThreads) -> None:
        # Daemon: a call that hangs must not keep the process from ending.
        loops.new("schemas", self._run, lambda: self._stopping).start()

    def stop(self) -> None:
        self._stopping = True
        self._calls.put(None)

    # ── the registry ──

    def schema_by_id(self, schema_id: int) -> str:
        return self._ask(("id", schema_id), lambda: self._registry.schema_by_id(schema_id))

    def lookup(self, subject: str, schema: str) -> int | None:
        return self._ask(("subject", subject, schema), lambda: self._registry.lookup(subject, schema))

    def register(self, subject: str, schema: str) -> int:
        return self._registry.register(subject, schema)

    def check(self, subject: str, schema: str) -> list[str]:
        return self._registry.check(subject, schema)

    def set_compatibility(self, subject: str | None, level: str) -> None:
        self._registry.set_compatibility(subject, level)

    def subjects(self) -> list[str]:
        return self._registry.subjects()

    # ── the thread ──

    def _ask(self, key: Key, call: Callable[[], T]) -> T:
        with self._lock:
            future: Future[T] | None = self._pending.get(key)
            wait_s = WAIT_S if self._answers and not self._pending else 0.0
            if future is None:
                future = self._pending[key] = Future()
                self._calls.put((future, call))
        try:
            answer = future.result(wait_s)
        except NotYet:
            raise Unreachable("The schema registry has not answered yet.") from None
        except BaseException:
            self._forget(key)
            raise
        self._forget(key)
        return answer

    def _forget(self, key: Key) -> None:
        with self._lock:
            self._pending.pop(key, None)

    def _run(self) -> None:
        while (asked := self._calls.get()) is not None:
            future, call = asked
            try:
                answer = call()
            except SluiceError as error:
                if isinstance(error, Unreachable) and self._answers:
                    log.warning("registry_unavailable", reason=str(error))
                self._answers = not isinstance(error, Unreachable)
                future.set_exception(error)
            except Exception as error:  # noqa: BLE001 - raised to the caller as the registry's fault: the record is not to blame
                log.error("schema_not_fetched", reason=type(error).__name__, frames=frames_of(error))
                future.set_exception(Unreachable(f"The schema registry can't be asked: {type(error).__name__}."))
            else:
                self._answers = True
                future.set_result(answer)
