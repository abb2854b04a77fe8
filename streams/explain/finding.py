"""A finding: one reason why a job is where it is, with what happens next and what a person can do; and how it is worded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from schemas.records import Coordinates
from streams.explain.snapshot import JobSnapshot


@dataclass(frozen=True, slots=True)
class Advice:
    """An action of a person. `command`: for an operator's shell. `request`: the same over HTTP, if the owner of the job may."""

    text: str
    command: str | None = None
    request: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """`code`: for programs, lower case. `text`: a sentence for people. `next`: what happens without anyone's help."""

    code: str
    text: str
    next: str = ""
    steps: tuple[Advice, ...] = ()


@dataclass(frozen=True, slots=True)
class Voice:
    """Words things for an operator, or for the owner of a job, who learns nothing of workers and of places in the log."""

    operator: bool = True

    def worker(self, worker_id: str | None) -> str:
        return f"worker {worker_id}" if self.operator and worker_id else "a worker"

    def place(self, where: Coordinates | None, otherwise: str = "the log") -> str:
        """Return a record's place as `topic[partition]@offset`."""
        return f"{where.topic}[{where.partition}]@{where.offset}" if self.operator and where is not None else otherwise

    def reason(self, text: str) -> str:
        """Return a dependency's or a service's own words, which may hold addresses."""
        return f": {text.rstrip('.')}" if self.operator and text else ""


Rule = Callable[[JobSnapshot, Voice], Finding | None]


def span(seconds: float) -> str:
    """Format a time span as `0.4 s`, `12 s`, `3 min`, `5 h` or `2 d`."""
    seconds = abs(seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def clock(at: datetime, now: datetime) -> str:
    """Format a time with how far it is from now: `12:00:05 UTC (in 5 s)`."""
    left = (at - now).total_seconds()
    day = "" if at.date() == now.date() else f"{at:%Y-%m-%d} "
    return f"{day}{at:%H:%M:%S} UTC ({f'in {span(left)}' if left > 0 else f'{span(left)} ago'})"


def counted(number: int, what: str, many: str | None = None) -> str:
    """Return `1 job`, `3 jobs`."""
    return f"{number:,} {what if number == 1 else many or what + 's'}"


def cut(text: str, longest: int = 200) -> str:
    """Return a text for the middle of a sentence: without its last full stop, and not too long."""
    text = text.strip().rstrip(".")
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
