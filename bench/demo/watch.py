"""Shows job states while they change: a progress bar on a terminal, otherwise a line per second."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from schemas.states import State

ORDER = [state.value for state in State if state is not State.UNKNOWN]


def states_line(counts: Mapping[str, int]) -> str:
    """Format as `PENDING 12 · COMPLETED 990`, in the order of a job's life."""
    return " · ".join(f"{name} {counts[name]}" for name in ORDER if counts.get(name))


def until_done(console: Console, total: int, counts: Callable[[], Mapping[str, int]], timeout_s: float) -> bool:
    """Watch until `total` jobs are in a terminal state; returns False if that takes longer than `timeout_s`."""
    give_up = time.monotonic() + timeout_s
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    live = sys.stdout.isatty()
    with Progress(*columns, console=console, disable=not live) as bar:
        task = bar.add_task("", total=total)
        printed = ""
        while time.monotonic() < give_up:
            now = counts()
            done = sum(count for name, count in now.items() if State(name).terminal)
            line = states_line(now)
            bar.update(task, completed=done, description=line)
            if not live and line != printed:
                console.print(f"  {line}")
                printed = line
            if done >= total:
                return True
            time.sleep(0.25 if live else 1.0)
    return False
