"""Prints the local stack's events on stderr: one line per event, and a progress bar for downloads."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

from streams.cli.output import err
from streams.stack.events import EventKind, StackEvent

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_QUIET = frozenset({EventKind.STARTING, EventKind.STOPPING})


class EventPrinter:
    """Prints each event it is called with; a context manager. With `verbose` also what is about to start or stop."""

    def __init__(self, *, verbose: bool = True) -> None:
        self._verbose = verbose
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._announced: set[str] = set()

    def __enter__(self) -> EventPrinter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, event: StackEvent) -> None:
        if event.kind is EventKind.DOWNLOAD:
            self._download(event)
        elif self._verbose or event.kind not in _QUIET:
            err(event.message)

    def _download(self, event: StackEvent) -> None:
        if not sys.stderr.isatty():
            if event.component not in self._announced:
                self._announced.add(event.component)
                err(f"downloading {event.component} ({event.total / 1e6:.0f} MB)")
            return
        bar = self._bar or self._open_bar()
        task = self._tasks.get(event.component)
        if task is None:
            task = self._tasks[event.component] = bar.add_task(
                f"downloading {event.component}", total=event.total or None
            )
        bar.update(task, completed=event.done, total=event.total or None)

    def _open_bar(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._bar.start()
        return self._bar
