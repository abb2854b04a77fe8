"""Jobs with known answers, chosen by the seed. The driver submits them."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

#: How often each kind of job is submitted.
WEIGHTS = {
    "plain": 48,
    "fails once": 8,
    "fails": 5,
    "later": 6,
    "in order": 12,
    "by lease": 8,
    "same key twice": 4,
    "bulk": 4,
    "expires": 2,
    "cancelled before": 2,
    "cancelled": 4,
}
ORDER_KEYS = 6
_LETTERS = "abcdefghijklmnopqrstuvwxyz "
#: Kinds that a producer of records without our client can submit as well.
SIMPLE: tuple[str, ...] = ("plain", "fails once", "fails")


@dataclass(frozen=True, slots=True)
class Assignment:
    """A job to submit and its answer. `cancel`: it is cancelled after its submission."""

    token: str
    kind: str
    processor: str
    input: dict[str, Any]
    options: dict[str, Any]
    states: tuple[str, ...] = ("COMPLETED",)
    error: str | None = None
    cancel: bool = False
    copies: int = 1

    @property
    def answer(self) -> str:
        return str(self.input["message"])[::-1]


class Assignments:
    """Draws jobs. `door` is part of every token, so that doors can draw side by side."""

    def __init__(self, seed: int, door: str, kinds: tuple[str, ...] = tuple(WEIGHTS), twice: float = 0.0) -> None:
        """`twice`: the share of jobs whose record is written twice."""
        self._twice = twice
        self._chosen = random.Random(f"{seed} {door}")
        self._door = door
        self._kinds = kinds
        self._count = 0

    def next(self) -> Assignment:
        kind = self._chosen.choices(self._kinds, [WEIGHTS[kind] for kind in self._kinds])[0]
        self._count += 1
        token = f"{self._door}-{self._count}"
        given: dict[str, Any] = {"message": self._message(token), "delay_ms": self._chosen.choice((0, 0, 0, 5, 20))}
        job = self._with_answer(kind, token, given)
        return replace(job, copies=2) if self._chosen.random() < self._twice else job

    def _message(self, token: str) -> str:
        """Return a text that no other job has; most are short, some have a hundred kilobytes."""
        length = int(10 ** self._chosen.uniform(1, 3.5)) if self._chosen.random() < 0.995 else 100_000
        return f"{token} " + "".join(self._chosen.choices(_LETTERS, k=64)) * (length // 64 + 1)

    def _with_answer(self, kind: str, token: str, given: dict[str, Any]) -> Assignment:
        now = datetime.now(UTC)
        later = now + timedelta(seconds=self._chosen.uniform(1, 8))
        hour = now + timedelta(hours=1)
        match kind:
            case "fails once":
                return Assignment(token, kind, self._chosen.choice(("chore", "errand")), given | {"fail": "once"}, {})
            case "fails":
                states, error = ("FAILED",), "INVALID_INPUT"
                return Assignment(token, kind, "chore", given | {"fail": "always"}, {}, states, error)
            case "later":
                return Assignment(token, kind, "chore", given, {"not_before": later})
            case "in order":
                key = f"key-{self._chosen.randrange(ORDER_KEYS)}"
                fails = {"fail": "once"} if self._chosen.random() < 0.1 else {}
                return Assignment(token, kind, "queue", given | fails, {"order_key": key})
            case "by lease":
                return Assignment(token, kind, "errand", given, {})
            case "same key twice":
                return Assignment(token, kind, "chore", given, {"idempotency_key": token}, copies=2)
            case "bulk":
                return Assignment(token, kind, "chore", given, {"lane": "bulk"})
            case "expires":
                past, soon = now - timedelta(seconds=1), now + timedelta(seconds=1)
                if self._chosen.random() < 0.5:
                    return Assignment(token, kind, "chore", given, {"deadline": past}, ("EXPIRED",))
                return Assignment(token, kind, "chore", given, {"deadline": soon}, ("COMPLETED", "EXPIRED"))
            case "cancelled before":
                return Assignment(token, kind, "chore", given, {"not_before": hour}, ("CANCELLED",), cancel=True)
            case "cancelled":
                return Assignment(token, kind, "chore", given, {}, ("COMPLETED", "CANCELLED"), cancel=True)
        return Assignment(token, kind, "chore", given, {})
