"""Decides what to do about a processor that can't start: start its process again, or give up with an error that says why.

A child that hangs while it loads ends itself and leaves a traceback (`child/exit.py`); this file reads it.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from schemas.errors import StartupError
from streams import logs
from streams.worker.protocol import load_trace

log = logs.get("worker")

#: Deaths in a row before the child was ready, after which the worker gives up.
START_DEATHS = 3
DEFAULT_LOAD_S = 300.0
LONGEST_PAUSE_S = 30.0
LONGEST_TRACE = 8_000
#: What the parent adds before it kills a child that was too stuck even to watch itself.
MARGIN_S = 10.0


def hang_traceback(scratch: Path, pid: int) -> str | None:
    """Return where a child that has ended hung while it loaded; None if it did not hang."""
    try:
        return load_trace(scratch, pid).read_text(encoding="utf-8", errors="replace")[:LONGEST_TRACE] or None
    except OSError:
        return None


class StartupTracker:
    """The starts of one processor's children. Once one has been ready, the processor is not broken: whatever keeps its
    successors from starting is waited for, since a worker that gave up would help nobody."""

    def __init__(self, processor: str, scratch: Path, patience_s: float) -> None:
        self._processor = processor
        self._scratch = scratch
        self._patience_s = patience_s
        self._began: float | None = None
        self._deaths = 0
        self.was_ready = False

    def began(self, now: float) -> None:
        self._began = now

    def ready(self) -> None:
        self._began, self._deaths, self.was_ready = None, 0, True

    def hangs(self, now: float) -> bool:
        """Whether it is so stuck that it could not even end itself."""
        return self._began is not None and now >= self._began + self._patience_s + MARGIN_S

    def died(self, pid: int, status: int, now: float) -> float:
        """A child is gone. Seconds to wait before the next is started; raises StartupError when there is no sense in one."""
        if self._began is None:
            return 0.0
        stuck, trace = self.hangs(now), hang_traceback(self._scratch, pid)
        self._deaths += 1
        if self.was_ready:
            log.error("child_start_failed", processor=self._processor, status=status, times=self._deaths, trace=trace)
            return min(LONGEST_PAUSE_S, 2.0 ** min(self._deaths - 1, 10))
        if stuck or trace is not None:
            raise self._hung(status, trace)
        if self._deaths >= START_DEATHS:
            raise StartupError(
                f"The process of processor {self._processor!r} died {START_DEATHS} times while starting "
                f"({describe_exit(status)}).",
                next_step="Its own words stand in the log above.",
            )
        return 0.0

    def _hung(self, status: int, trace: str | None) -> StartupError:
        return StartupError(
            f"Processor {self._processor!r} was not ready within {self._patience_s:g} s, so its process was ended "
            f"({describe_exit(status)}). {'Nothing tells where it hung.' if trace is None else 'It hung here:'}\n{trace or ''}",
            next_step="If it needs that long, raise SLUICE_LOAD_TIMEOUT_S.",
        )


def combined_error(
    faults: Mapping[str, BaseException], started: Sequence[str], loading: Sequence[str]
) -> BaseException:
    """What ended a worker, by processor, the first first. Where processors can't start it names them all, and the others too:
    those that could, and those that were still loading."""
    first = next(iter(faults.values()))
    if not isinstance(first, StartupError) or len(faults) + len(started) + len(loading) == 1:
        return first
    said = [error.message for error in faults.values() if isinstance(error, StartupError)]
    for names, verb in ((started, "could start"), (loading, "were still loading")):
        if names:
            said.append(f"Of this worker's other processors {', '.join(map(repr, names))} {verb}; all were stopped.")
    told = StartupError("\n".join(said), next_step=first.next_step)
    told.__cause__ = first
    return told


def describe_exit(status: int) -> str:
    """An exit status in words; the kernel's signals by name."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
