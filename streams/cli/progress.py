"""A progress bar on stderr if it is a terminal; nothing otherwise."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[], None]
ShowTo = Callable[[int], None]


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Advance]:
    """Show a bar while the block runs; yields a function to call after each step."""
    done = itertools.count(1)
    with progress_to(what, total) as show_to:
        yield lambda: show_to(next(done))


@contextmanager
def progress_to(what: str, total: int) -> Iterator[ShowTo]:
    """Show a bar while the block runs; yields a function that sets how many steps are done."""
    if not sys.stderr.isatty() or total < 2:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)
