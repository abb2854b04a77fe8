"""`sluice top`: a live view of processors, workers, services and destinations."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators

from schemas.errors import ExitCode
from streams.cli.options import Json
from streams.cli.output import out, out_json, table
from streams.cli.top_tables import notes, sections

if TYPE_CHECKING:
    from rich.console import Group

    from streams.cli.top_snapshot import TopCollector, TopSnapshot

Once = Annotated[bool, Parameter(help="Print the view once and end. So it is if the output is not a terminal.")]
Interval = Annotated[
    float, Parameter(validator=validators.Number(gte=0.5, lte=3600), help="Time between two polls, in seconds.")
]
#: Waits some seconds for a key and returns it, or "".
Key = Callable[[float], str]
#: Seconds between two looks at the keyboard.
_KEYS_S = 0.1


def top(*, once: Once = False, interval: Interval = 2.0, json: Json = False) -> int:
    """Show processors, workers, services and callbacks, live; q or Ctrl-C ends.

    Rates, failures and times are those of the last minute: IN and OUT are runs
    requested and ended, QUEUE is from request to start, RUN the run itself; for a
    replayed run the request is its publication. LAG is of the processor's
    workers (see `sluice lag`). A poll costs six small queries to Postgres and a
    request to each service; Kafka is asked every five seconds.

    For example:

        sluice top
        sluice top --once
        sluice top --json | jq '.processors[] | {name, lag, lag_s}'
    """
    from streams.cli.top_snapshot import TopCollector
    from streams.settings import load_settings

    with TopCollector(load_settings()) as collector:
        if json or once or not sys.stdout.isatty():
            shown = collector.snapshot()
            out_json(shown) if json else out(as_text(shown))
            return ExitCode.PARTIAL if shown.faults else ExitCode.OK
        _live(collector, interval)
    return ExitCode.OK


def as_text(shown: TopSnapshot) -> str:
    """Return the view as tables of text."""
    tables = [f"{section.title}\n{table(section.rows, section.head)}" for section in sections(shown)]
    return "\n\n".join([*tables, "\n".join(notes(shown))])


def _live(collector: TopCollector, interval: float) -> None:
    """Show the view on the alternate screen until q or Ctrl-C. The screen and the keyboard are restored at the end."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with (
        ThreadPoolExecutor(1) as poller,
        _single_keys() as key,
        Live(Text("reading …"), console=Console(), screen=True, auto_refresh=False) as live,
    ):
        live.refresh()
        try:
            polled: Future[TopSnapshot] | None = poller.submit(collector.snapshot)
            due = 0.0
            while key(_KEYS_S) not in ("q", "Q"):
                if polled is not None and polled.done():
                    live.update(as_renderable(polled.result()), refresh=True)
                    polled, due = None, time.monotonic() + interval
                elif polled is None and time.monotonic() >= due:
                    polled = poller.submit(collector.snapshot)
        except KeyboardInterrupt:
            pass


def as_renderable(shown: TopSnapshot) -> Group:
    """Return the view for a terminal. Cells are plain text: nothing in them is taken for markup."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[Table | Text] = []
    for section in sections(shown):
        made = Table(title=section.title, title_justify="left", expand=False, pad_edge=False, box=None)
        for number, name in enumerate(section.head):
            made.add_column(name, justify="left" if number == 0 else "right", no_wrap=number == 0)
        for row in section.rows:
            made.add_row(*(Text(cell, style=_style(cell)) for cell in row))
        parts += [made, Text()]
    return Group(*parts, Text("\n".join(notes(shown))), Text("q ends", style="dim"))


def _style(cell: str) -> str:
    bad = ("open", "hung", "stopped", "not ready")
    return "bold red" if cell.startswith(bad) else "yellow" if "paused" in cell or "fallback" in cell else ""


@contextmanager
def _single_keys() -> Iterator[Key]:
    """Yield a function that waits some seconds for a key and returns it, or "". The terminal is as before at the end."""
    if not sys.stdin.isatty():
        yield _no_key
        return
    import termios
    import tty

    stdin = sys.stdin.fileno()
    before = termios.tcgetattr(stdin)

    def key(seconds: float) -> str:
        ready, _, _ = select.select([stdin], [], [], seconds)
        return os.read(stdin, 1).decode("latin-1") if ready else ""

    try:
        tty.setcbreak(stdin)
        yield key
    finally:
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)


def _no_key(seconds: float) -> str:
    time.sleep(seconds)
    return ""
