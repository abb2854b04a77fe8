"""`sluice pause`, `sluice resume` and `sluice processors`: who works, and who is told not to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from schemas.errors import ExitCode
from schemas.states import State
from streams.cli.options import Json, Reason
from streams.cli.output import err, out, say_json, table

if TYPE_CHECKING:
    from connectors.views import ProcessorView
    from schemas.records import Control
    from streams.settings import Settings

_PAUSE_S = 0.1
_OPEN = (State.PENDING, State.PROCESSING, State.RETRYING)

Name = Annotated[str, Parameter(help="The processor: echo, embed, segmentation, …")]
Wait = Annotated[bool, Parameter(help="Wait until every worker has answered.")]
Timeout = Annotated[float, Parameter(help="Seconds to wait at most; then exit status 124.", show_default=True)]


def pause(
    processor: Name, /, *, reason: Reason = "", wait: Wait = False, timeout: Timeout = 30.0, json: Json = False
) -> int:
    """Let a processor's workers start no more jobs.

    What runs is finished; what waits stays in the log, in order. Submitting goes on.
    A worker that starts later is told too.

    For example:

        sluice pause segmentation --reason "new scanner protocol" --wait
    """
    from streams.client.commands import CommandClient
    from streams.settings import load_settings

    settings = load_settings()
    with CommandClient(settings) as controls:
        order = controls.pause(processor, reason)
    return _follow(settings, order, wait, timeout, json)


def resume(
    processor: Name, /, *, reason: Reason = "", wait: Wait = False, timeout: Timeout = 30.0, json: Json = False
) -> int:
    """Let a paused processor's workers go on.

    For example:

        sluice resume segmentation --wait
    """
    from streams.client.commands import CommandClient
    from streams.settings import load_settings

    settings = load_settings()
    with CommandClient(settings) as controls:
        order = controls.resume(processor, reason)
    return _follow(settings, order, wait, timeout, json)


def processors(*, json: Json = False) -> int:
    """Show each processor: paused or not, who asked, who answered, and its open jobs.

    For example:

        sluice processors
        sluice processors --json | jq -r '.[] | select(.action == "pause") | .name'
    """
    from schemas.contract import known_processors
    from streams import wiring
    from streams.settings import load_settings

    settings = load_settings()
    with wiring.command_store(settings) as store:
        views = store.processors(settings.processors or sorted(known_processors()))
    if json:
        say_json(views)
        return ExitCode.OK
    head = ("PROCESSOR", "STATE", *_OPEN, "REQUESTED (UTC)", "BY", "REASON", "ACKNOWLEDGED BY")
    out(table([_row(view) for view in views], head))
    return ExitCode.OK


def _row(view: ProcessorView) -> tuple[object, ...]:
    answered = ", ".join(answer.worker_id for answer in view.acknowledgements)
    jobs = (view.jobs.get(state, 0) for state in _OPEN)
    state = "paused" if view.paused else "running"
    return (view.name, state, *jobs, view.requested_at, view.requested_by, view.reason or None, answered or None)


def _follow(settings: Settings, order: Control, wait: bool, timeout_s: float, as_json: bool) -> int:
    """Tell what was asked and who has answered; 124 if not every worker has in time."""
    from streams.log import kafka
    from streams.log.members import workers_of

    admin, processor = kafka.admin(settings), order.processor or ""
    until = time.monotonic() + (timeout_s if wait else 0.0)
    while True:
        workers = workers_of(admin, settings, processor) if wait else set()
        answered = _answered(settings, order) if wait else set()
        if workers <= answered or time.monotonic() > until:
            break
        time.sleep(_PAUSE_S)
    missing = sorted(workers - answered)
    if as_json:
        say_json({"requested": order, "acknowledged": sorted(answered), "silent": missing})
    else:
        out(f"{order.action} of {processor} requested at {order.at:%Y-%m-%d %H:%M:%S} UTC by {order.by}")
        for worker in sorted(answered):
            out(f"acknowledged by {worker}")
    if wait and not answered and not missing:
        err("no worker runs it at the moment; the next one will be told")
    for worker in missing:
        err(f"no answer from {worker} within {timeout_s:g} s")
    return ExitCode.WAIT_TIMED_OUT if missing else ExitCode.OK


def _answered(settings: Settings, order: Control) -> set[str]:
    from streams import wiring

    with wiring.command_store(settings) as store:
        [view] = store.processors([order.processor or ""])
    return {answer.worker_id for answer in view.acknowledgements} if view.action == order.action else set()
