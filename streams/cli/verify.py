"""`sluice verify`: compare an outcome with its receipt."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from streams.cli.job import JobId, Run, find_job
from streams.cli.options import Json
from streams.cli.output import err, out, out_json, table

if TYPE_CHECKING:
    from connectors.views import JobView
    from streams.receipts.checks import Comparison
    from streams.settings import Settings

Rerun = Annotated[bool, Parameter(help="Run the job again in this process, and compare the outputs.", negative="")]
Device = Annotated[str, Parameter(help="For --rerun: auto, cpu, cuda or cuda:N.")]


def verify(
    job_id: JobId, /, *, run: Run = None, rerun: Rerun = False, device: Device = "auto", json: Json = False
) -> int:
    """Compare a job's outcome with its receipt: input, record, files, weights.

    Hashes the stored request's input; compares the stored row with the record that
    won, each file with its hash, and the weights and code of the outcome's version
    with those installed here. With --rerun the job runs again in this process,
    outside the log, and the outputs are compared. Each check is ok, differs, or
    can't be checked, and says why. Exit status 0 if something was checked and
    nothing differs, 8 if something differs or nothing could be checked, 5 if there
    is no such job, 124 if it has not ended.

    For example:

        sluice verify 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10
        sluice verify 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10 --rerun --device cuda
        sluice verify 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10 --json | jq .verified
    """
    from schemas.errors import ExitCode
    from schemas.states import State
    from streams import wiring
    from streams.receipts.checks import verified
    from streams.settings import load_settings

    settings = load_settings()
    with wiring.job_store(settings) as store:
        view = find_job(store, job_id, run)
    if not State(view.state).terminal:
        err(f"The job has not ended: it is {view.state}. `sluice explain` says what it waits for.")
        return ExitCode.WAIT_TIMED_OUT
    with _spinner() as show:
        checks = list(_checks(settings, view, device if rerun else None, show))
    good = verified(checks)
    if json:
        out_json({"job_id": view.job_id, "run": view.run, "verified": good, "checks": checks})
    else:
        out(table([(check.name, check.result.value, check.detail) for check in checks], ("CHECK", "RESULT", "DETAIL")))
    return ExitCode.OK if good else ExitCode.PARTIAL


def _checks(
    settings: Settings, view: JobView, rerun_on: str | None, show: Callable[[str], None]
) -> Iterator[Comparison]:
    """Yield the checks as they are made. `rerun_on`: the device of the rerun; None: no rerun."""
    from schemas.codec import Codec
    from streams import wiring
    from streams.receipts.installed import Installed
    from streams.receipts.verify import Verifier

    objects = wiring.object_store(settings)
    with wiring.open_registry(settings) as registry, wiring.job_store(settings) as jobs:
        with wiring.payload_store(settings) as payloads:
            payload = payloads.payload(view.job_id, view.run)
        stored = payload.value if payload is not None else None
        verifier = Verifier(settings, Codec(registry), objects, jobs, view, payload=stored, on_step=show)
        yield from verifier.checks()
    installed = Installed(view, rerun_on or "cpu", settings.weights_dir)
    show("model and code")
    yield from installed.checks()
    if rerun_on is not None:
        show("running again")
        yield installed.rerun(verifier.request.plain, objects, verifier.request.why)


@contextmanager
def _spinner() -> Iterator[Callable[[str], None]]:
    """Show what is being compared, on a terminal; yields a function to call with each thing."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield lambda what: status.update(what)
