"""What the control topic has said so far: which runs are cancelled, which processors are to rest. Shared by a worker's engines.

The reader's thread writes (`control.py`), each engine's thread reads. Cancels are kept as the topic's keys, which are built
from a job's Kafka headers without decoding anything.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from schemas.headers import JOB, RUN

#: Cancels are remembered this long: the requests they are about are gone by then. And so many at most (a few ten MB).
KEEP_S = 15 * 24 * 3600.0
KEEP_AT_MOST = 200_000


@dataclass(frozen=True, slots=True)
class PauseState:
    """The last word about a processor. A new one is another object, also if it says the same."""

    paused: bool
    reason: str = ""


class CommandState:
    def __init__(self, keep_s: float = KEEP_S, keep_at_most: int = KEEP_AT_MOST) -> None:
        self._keep_s = keep_s
        self._keep_at_most = keep_at_most
        self._cancelled: dict[bytes, float] = {}  # when, oldest first
        self._rests: dict[str, PauseState] = {}
        self._mailboxes: list[deque[bytes]] = []

    # ── the reader's side ──

    def cancel(self, key: bytes, at: float) -> None:
        """`key` as in the topic (`schemas.commands.job_key`), `at` seconds since the epoch."""
        self._cancelled.pop(key, None)
        self._cancelled[key] = at
        self._forget_old(at)
        for mailbox in self._mailboxes:
            mailbox.append(key)

    def take_back(self, key: bytes) -> None:
        """The topic has forgotten this cancel."""
        self._cancelled.pop(key, None)

    def rest(self, processor: str, told: PauseState) -> None:
        self._rests[processor] = told

    # ── an engine's side ──

    def mailbox(self) -> deque[bytes]:
        """Keys of cancels from now on, for one engine to take out."""
        made: deque[bytes] = deque()
        self._mailboxes.append(made)
        return made

    @property
    def any_cancelled(self) -> bool:
        return bool(self._cancelled)

    def is_cancelled(self, key: bytes) -> bool:
        return key in self._cancelled

    def of(self, processor: str) -> PauseState | None:
        """What was last said about a processor; None: nothing."""
        return self._rests.get(processor)

    def _forget_old(self, now: float) -> None:
        """Old ones, and the oldest of too many: only now and then, a whole part at a time."""
        if len(self._cancelled) > self._keep_at_most:
            for key in list(self._cancelled)[: self._keep_at_most // 10]:
                del self._cancelled[key]
        oldest = next(iter(self._cancelled.items()))
        while oldest[1] < now - self._keep_s:
            del self._cancelled[oldest[0]]
            oldest = next(iter(self._cancelled.items()))


def command_key(message: Any) -> bytes:
    """The key that a cancel of this request's run has, by Kafka's headers; b"" for a request that names no job."""
    given = dict(message.headers() or ())
    job = given.get(JOB)
    return b"job:%b:%b" % (job, given.get(RUN) or b"0") if job else b""
