"""A question to something outside, put at most once a second however many ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

KEEP_S = 1.0


class CachedProbe:
    """`question`: why something can't be used, None if it answers. Called by one thread at a time."""

    def __init__(self, question: Callable[[], str | None], keep_s: float = KEEP_S) -> None:
        self._question = question
        self._keep_s = keep_s
        self._lock = threading.Lock()
        self._good_until = float("-inf")
        self._fault: str | None = None

    def fault(self) -> str | None:
        with self._lock:
            if time.monotonic() >= self._good_until:
                self._fault = self._question()
                self._good_until = time.monotonic() + self._keep_s
            return self._fault


def faults(needs: Sequence[CachedProbe]) -> list[str | None]:
    """Why each of these can't be used, asked side by side: each may take seconds to be silent."""
    with ThreadPoolExecutor(len(needs)) as pool:
        return list(pool.map(CachedProbe.fault, needs))
