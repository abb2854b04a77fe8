"""`sluice result`: write a job's result to a folder."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from streams.cli.job import JobId, Run, find_job
from streams.cli.options import Json, duration
from streams.cli.output import err, out, out_json

if TYPE_CHECKING:
    from connectors.job_store import JobStore
    from connectors.views import JobView
    from streams.receipts.download import WrittenFile

OutputDir = Annotated[Path | None, Parameter(help="Folder for the files. Default: one named like the job, here.")]
Force = Annotated[bool, Parameter(help="Replace files that have another content.", negative="")]
#: Bytes below which no progress bar is shown.
_SMALL = 16 << 20
_PAUSE_S = 0.2


def result(
    job_id: JobId,
    /,
    *,
    run: Run = None,
    output_dir: OutputDir = None,
    wait: Annotated[
        timedelta | None, duration("Wait so long (30s, 5m, 2h) for the job to end. Default: not at all.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Write a job's result: its output as output.json, and its files.

    A file is named like the field of the output that refers to it. Each is
    compared with its hash before it gets its name. Files that are there already
    stay, unless --force replaces them. Prints the paths. Exit status 3 if the job
    failed, 4 if it was cancelled or expired, 5 if there is no such job, 7 if a file
    is in the way, 124 if the job has not ended.

    For example:

        sluice result 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10
        sluice result 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10 --output-dir out
        sluice result 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10 --wait 60s --json
    """
    from streams import wiring
    from streams.settings import load_settings

    settings = load_settings()
    with wiring.job_store(settings) as store:
        view = _ended(store, job_id, run, 0.0 if wait is None else wait.total_seconds())
    files: list[WrittenFile] = []
    code = _exit_code(view)
    if code == 0:
        from streams.receipts.download import write_result

        objects, folder = wiring.object_store(settings), output_dir or Path(view.job_id)
        with _bar(sum(claim.size for claim in view.refs)) as advance:
            files = write_result(view, objects, folder, force=force, on_bytes=advance)
    if json:
        shown = ("job_id", "run", "state", "error", "output", "receipt")
        out_json({name: getattr(view, name) for name in shown} | {"files": files})
        return code
    for file in files:
        out(file.path)
    return code


def _exit_code(view: JobView) -> int:
    """Return the exit status for a job's state, and say on stderr why there is nothing to write."""
    from schemas.errors import ExitCode
    from schemas.states import State
    from streams.client.outcomes import exit_code_of

    state = State(view.state)
    if not state.terminal:
        err(
            f"The job has not ended: it is {view.state}. --wait 60s waits for it; `sluice explain` says what it waits for."
        )
        return ExitCode.WAIT_TIMED_OUT
    if state is not State.COMPLETED:
        err(f"{view.state}: {view.error.code}: {view.error.message}" if view.error else view.state)
    return exit_code_of(state)


def _ended(store: JobStore, job_id: str, run: int | None, wait_s: float) -> JobView:
    """Return the job once it has ended, or as it is when the time to wait is over."""
    from schemas.states import TERMINAL, State

    give_up = time.monotonic() + wait_s
    view = find_job(store, job_id, run)
    while State(view.state) not in TERMINAL and (left := give_up - time.monotonic()) > 0:
        time.sleep(min(_PAUSE_S, left))
        status = store.status(job_id, view.run if run is None else run)
        if status is not None and State(status.state) in TERMINAL:
            view = find_job(store, job_id, run)
    return view


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    """Show the bytes that were written, on a terminal and for large files; yields a function to call with each piece's size."""
    if not sys.stderr.isatty() or total < _SMALL:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = TextColumn("files"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda size: bar.advance(task, size)
