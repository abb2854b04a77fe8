"""A probe of an external dependency, run at most once a second however many callers ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

KEEP_S = 1.0


class CachedProbe:
    """`probe` returns why the dependency can't be used, None if it answers. Only one thread at a time runs it."""

    def __init__(self, probe: Callable[[], str | None], keep_s: float = KEEP_S) -> None:
        self._probe = probe
        self._keep_s = keep_s
        self._lock = threading.Lock()
        self._valid_until = float("-inf")
        self._fault: str | None = None

    def fault(self) -> str | None:
        """Return why the dependency can't be used, None if it answers; the result is up to `keep_s` seconds old."""
        with self._lock:
            if time.monotonic() >= self._valid_until:
                self._fault = self._probe()
                self._valid_until = time.monotonic() + self._keep_s
            return self._fault


def faults(probes: Sequence[CachedProbe]) -> list[str | None]:
    """Run the probes in parallel, because each may take seconds to time out, and return their results."""
    with ThreadPoolExecutor(len(probes)) as pool:
        return list(pool.map(CachedProbe.fault, probes))
