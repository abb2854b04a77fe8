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

#: Crashes in a row before the child was ready, after which the worker gives up.
MAX_CRASHES = 3
DEFAULT_LOAD_S = 300.0
LONGEST_PAUSE_S = 30.0
LONGEST_TRACE = 8_000
#: Added to the patience before the parent kills a child that is too stuck to end itself.
MARGIN_S = 10.0


def hang_traceback(scratch: Path, pid: int) -> str | None:
    """Return where a child that has ended hung while it loaded; None if it did not hang."""
    try:
        return load_trace(scratch, pid).read_text(encoding="utf-8", errors="replace")[:LONGEST_TRACE] or None
    except OSError:
        return None


class StartupTracker:
    """Tracks the starts of one processor's children. Once a child has been ready, the processor is not broken: if its
    successors can't start, the engine pauses between starts, and after some leaves its group until one can."""

    def __init__(self, processor: str, scratch: Path, patience_s: float) -> None:
        self._processor = processor
        self._scratch = scratch
        self._patience_s = patience_s
        self._began: float | None = None
        self._crashes = 0
        self.was_ready = False

    def began(self, now: float) -> None:
        self._began = now

    def ready(self) -> None:
        self._began, self._crashes, self.was_ready = None, 0, True

    def hangs(self, now: float) -> bool:
        """True if the child is so stuck that it could not even end itself."""
        return self._began is not None and now >= self._began + self._patience_s + MARGIN_S

    def ended(self, pid: int, status: int, now: float) -> float:
        """A child is gone: return the seconds to wait before the next start. Raises StartupError if another start is no use."""
        if self._began is None:
            return 0.0
        stuck, trace = self.hangs(now), hang_traceback(self._scratch, pid)
        self._crashes += 1
        if self.was_ready and self._crashes < MAX_CRASHES:
            log.error("child_start_failed", processor=self._processor, status=status, times=self._crashes, trace=trace)
            return min(LONGEST_PAUSE_S, 2.0 ** min(self._crashes - 1, 10))
        if stuck or trace is not None:
            raise self._hung(status, trace)
        if self._crashes >= MAX_CRASHES:
            raise StartupError(
                f"The process of processor {self._processor!r} died {MAX_CRASHES} times while starting "
                f"({describe_exit(status)}).",
                next_step="Read its messages in the log above.",
            )
        return 0.0

    def _hung(self, status: int, trace: str | None) -> StartupError:
        return StartupError(
            f"Processor {self._processor!r} was not ready within {self._patience_s:g} s, so its process was ended "
            f"({describe_exit(status)}). {'It left no traceback.' if trace is None else 'It hung here:'}\n{trace or ''}",
            next_step="If it needs that long, raise SLUICE_LOAD_TIMEOUT_S.",
        )


def combined_error(
    faults: Mapping[str, BaseException], started: Sequence[str], loading: Sequence[str]
) -> BaseException:
    """Combine several processors' faults into one, the first of `faults` first. Start-up errors are listed together, with the
    processors that started and those that were still loading."""
    first = next(iter(faults.values()))
    if not isinstance(first, StartupError) or len(faults) + len(started) + len(loading) == 1:
        return first
    messages = [error.message for error in faults.values() if isinstance(error, StartupError)]
    for names, what in ((started, "could start"), (loading, "were still loading")):
        if names:
            messages.append(
                f"Of this worker's other processors {', '.join(map(repr, names))} {what}; all were stopped."
            )
    combined = StartupError("\n".join(messages), next_step=first.next_step)
    combined.__cause__ = first
    return combined


def describe_exit(status: int) -> str:
    """Describe an exit status in words, with signals by name."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
