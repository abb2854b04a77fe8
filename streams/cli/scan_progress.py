"""The progress of a scan on stderr: records, share and rate. Nothing if stderr is no terminal."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress

    from streams.admin.scan import Scan

_EVERY_S = 0.2


class ScanProgress:
    """Drawn by the thread that scans, never beside it: records go to the same terminal. Call `clear` before one is printed."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._bar: Progress | None = None
        self._shown_at = 0.0

    def __enter__(self) -> Self:
        if not sys.stderr.isatty() or not self._total:
            return self
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        columns = BarColumn(), TaskProgressColumn(), TextColumn("{task.description}")
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)
        self._bar.start()
        self._bar.add_task("", total=self._total)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, scan: Scan) -> None:
        now = time.monotonic()
        if self._bar is None or now - self._shown_at < _EVERY_S:
            return
        self._shown_at = now
        text = f"{scan.read:,} of {scan.total:,} records, {scan.rate:,.0f} a second, {scan.matched:,} found"
        self._bar.update(self._bar.task_ids[0], completed=scan.read, description=text, refresh=True)

    def clear(self) -> None:
        """Erase the bar's line if records are printed on the same terminal; the next `show` draws it again."""
        if self._bar is not None and sys.stdout.isatty():
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
