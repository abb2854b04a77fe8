"""The commands that a worker knows: cancelled runs, paused processors. `commands.py` reads them from the control topic."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

#: Cancels are remembered this long: their requests are deleted by then. And at most so many (a few tens of MB).
KEEP_S = 15 * 24 * 3600.0
KEEP_AT_MOST = 200_000


@dataclass(frozen=True, slots=True)
class PauseState:
    """The last command for a processor. Each command makes another object, also if it says the same."""

    paused: bool
    reason: str = ""


class CommandState:
    """All commands so far: cancelled runs, paused processors. The reader's thread writes, each engine's thread reads.

    Cancels are kept as the topic's keys, which `InFlightJob.command_key` builds without decoding anything.
    """

    def __init__(self, keep_s: float = KEEP_S, keep_at_most: int = KEEP_AT_MOST) -> None:
        self._keep_s = keep_s
        self._keep_at_most = keep_at_most
        self._cancelled: dict[bytes, float] = {}  # when, oldest first
        self._pauses: dict[str, PauseState] = {}
        self._subscribers: list[deque[bytes]] = []

    # ── the reader's side ──

    def cancel(self, key: bytes, at: float) -> None:
        """Record a cancel. `key` as in the topic (`schemas.commands.job_key`), `at` in seconds since the epoch."""
        self._cancelled.pop(key, None)
        self._cancelled[key] = at
        self._forget_old(at)
        for pending in self._subscribers:
            pending.append(key)

    def withdraw(self, key: bytes) -> None:
        """Forget a cancel that was deleted from the topic."""
        self._cancelled.pop(key, None)

    def set_pause(self, processor: str, state: PauseState) -> None:
        self._pauses[processor] = state

    # ── an engine's side ──

    def subscribe(self) -> deque[bytes]:
        """Return a queue for one engine that gets the keys of all cancels from now on."""
        pending: deque[bytes] = deque()
        self._subscribers.append(pending)
        return pending

    @property
    def any_cancelled(self) -> bool:
        return bool(self._cancelled)

    def is_cancelled(self, key: bytes) -> bool:
        return key in self._cancelled

    def pause_state(self, processor: str) -> PauseState | None:
        """Return the last command for a processor; None if there was none."""
        return self._pauses.get(processor)

    def is_paused(self, processor: str) -> bool:
        state = self._pauses.get(processor)
        return state is not None and state.paused

    def _forget_old(self, now: float) -> None:
        """Forget old cancels, and the oldest tenth of too many: only now and then."""
        if len(self._cancelled) > self._keep_at_most:
            for key in list(self._cancelled)[: self._keep_at_most // 10]:
                del self._cancelled[key]
        oldest = next(iter(self._cancelled.items()))
        while oldest[1] < now - self._keep_s:
            del self._cancelled[oldest[0]]
            oldest = next(iter(self._cancelled.items()))
