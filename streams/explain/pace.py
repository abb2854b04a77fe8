"""How fast a processor works, by measured times, and when a job that waits will start and end. Pure.

The gateway measures all the time and answers submits with it; `sluice explain` measures once, over the last minute.
"""

from __future__ import annotations

from dataclasses import dataclass

from connectors.views import Backlog
from schemas.states import State

#: Seconds of the past that the rate is taken from.
WINDOW_S = 60.0
#: A rate needs so many jobs that ended while others waited.
FEWEST_ENDED = 3


@dataclass(frozen=True, slots=True)
class Pace:
    """`workers`: None if not known. `rate`: jobs per second of all workers together, `run_s`: the mean run time of a job; None
    where nothing supports a number. `waiting`: jobs that could start now, of all lanes."""

    running: int
    workers: int | None
    paused: bool
    rate: float | None
    run_s: float | None
    waiting: int = 0

    def start_s(self, ahead: int) -> float | None:
        """Return the seconds until a job with so many before it starts; None if nothing supports a number."""
        if self.workers == 0 or self.paused:
            return None
        if not ahead and not self.running and self.workers:
            return 0.0
        return (ahead + bool(self.running)) / self.rate if self.rate else None

    def end_s(self, ahead: int) -> float | None:
        """Return the seconds until that job ends."""
        start = self.start_s(ahead)
        return None if start is None or self.run_s is None else start + self.run_s


def rate_of(ended: int, span_s: float, running: int, run_s: float | None) -> float | None:
    """Return the jobs per second: those that ended in a time in which others waited, else what the running ones allow."""
    if ended >= FEWEST_ENDED and span_s > 0:
        return ended / span_s
    return running / run_s if running and run_s else None


def measured(backlog: Backlog, processor: str, workers: int | None, paused: bool, span_s: float = WINDOW_S) -> Pace:
    """Return a processor's pace by one count of its jobs. `backlog`: with the jobs that ended in the last `span_s` seconds.

    Where jobs have not waited all that time the rate is too low, so that an estimate is rather too late than too early.
    """
    of = [each for each in backlog.open if each.processor == processor]
    waiting = sum(each.jobs for each in of if each.state == State.PENDING)
    running = sum(each.jobs for each in of if each.state == State.PROCESSING)
    ended = next((each for each in backlog.ended if each.processor == processor), None)
    run_s = ended.run_s / ended.timed if ended is not None and ended.timed else None
    rates = [rate_of(0 if ended is None else ended.jobs, span_s, running, run_s), rate_of(0, span_s, running, run_s)]
    rate = max((each for each in rates if each is not None), default=None)
    return Pace(running, workers, paused, rate, run_s, waiting)
