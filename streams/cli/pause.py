"""`sluice pause`, `sluice resume` and `sluice processors`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from schemas.errors import ExitCode
from schemas.states import State
from streams.cli.options import Json
from streams.cli.output import err, jsonable, out, out_json, table

if TYPE_CHECKING:
    from connectors.views import ProcessorView
    from schemas.records import Control
    from streams.cli.service_status import OpenCircuit
    from streams.settings import Settings

_PAUSE_S = 0.1
_OPEN = (State.PENDING, State.PROCESSING, State.RETRYING)

Name = Annotated[str, Parameter(help="Name of the processor: echo, embed, segmentation, …")]
Reason = Annotated[str, Parameter(help="Why; shown by `sluice processors`. Default: no reason.")]
Wait = Annotated[
    bool,
    Parameter(
        help="Wait until every worker of the processor has acknowledged. Running jobs may still be finishing: "
        "`sluice processors` counts them."
    ),
]
Timeout = Annotated[float, Parameter(help="With --wait: seconds to wait; then exit status 124.")]


def pause(
    processor: Name, /, *, reason: Reason = "", wait: Wait = False, timeout: Timeout = 30.0, json: Json = False
) -> int:
    """Pause a processor: running jobs finish, no new ones start.

    Jobs can still be submitted; they wait in Kafka, in their order. Workers that
    start later are paused too, until `sluice resume`.

    For example:

        sluice pause segmentation --reason "new scanner protocol" --wait
    """
    from streams.client.commands import CommandClient
    from streams.settings import load_settings

    settings = load_settings()
    with CommandClient(settings) as commands:
        command = commands.pause(processor, reason)
    return _follow(settings, command, wait, timeout, json)


def resume(
    processor: Name, /, *, reason: Reason = "", wait: Wait = False, timeout: Timeout = 30.0, json: Json = False
) -> int:
    """Resume a paused processor.

    For example:

        sluice resume segmentation --wait
    """
    from streams.client.commands import CommandClient
    from streams.settings import load_settings

    settings = load_settings()
    with CommandClient(settings) as commands:
        command = commands.resume(processor, reason)
    return _follow(settings, command, wait, timeout, json)


def processors(*, json: Json = False) -> int:
    """List processors: running or paused, and how many jobs are open.

    Also shows who paused or resumed a processor, which workers have
    acknowledged, and workers of this SLUICE_HOME that have stopped taking its jobs
    because the last ones failed alike (circuit; with --json: `circuits`).

    For example:

        sluice processors
        sluice processors --json | jq -r '.[] | select(.state == "paused") | .name'
    """
    from streams import wiring
    from streams.settings import load_settings

    settings = load_settings()
    with wiring.command_store(settings) as store:
        views = store.processors(settings.served_processors)
    circuits = _open_circuits(settings)
    if json:
        extra = [{"name": v.name, "state": _state(v), "circuits": circuits.get(v.name, [])} for v in views]
        out_json([more | jsonable(view) for more, view in zip(extra, views, strict=True)])
        return ExitCode.OK
    head = ("PROCESSOR", "STATE", *_OPEN, "SINCE (UTC)", "BY", "REASON", "ACKNOWLEDGED BY", "CIRCUIT")
    out(table([(*_row(view), _circuit(circuits.get(view.name, []))) for view in views], head))
    return ExitCode.OK


def _row(view: ProcessorView) -> tuple[object, ...]:
    acknowledged = ", ".join(answer.worker_id for answer in view.acknowledgements)
    jobs = (view.jobs.get(state, 0) for state in _OPEN)
    return (
        view.name,
        _state(view),
        *jobs,
        view.requested_at,
        view.requested_by,
        view.reason or None,
        acknowledged or None,
    )


def _open_circuits(settings: Settings) -> dict[str, list[OpenCircuit]]:
    """Ask the workers of this home; return their circuits that are not closed, by processor."""
    from streams.cli.service_status import open_circuits
    from streams.health.ask import ask_all

    found: dict[str, list[OpenCircuit]] = {}
    for answer in ask_all(settings.home):
        name = " ".join([answer.service_file.service, *answer.service_file.runs])
        for circuit in open_circuits(name, answer.status):
            found.setdefault(circuit.processor, []).append(circuit)
    return found


def _circuit(circuits: Sequence[OpenCircuit]) -> str | None:
    return "; ".join(f"{each.state} at {each.worker}: {each.reason}" for each in circuits) or None


def _state(view: ProcessorView) -> str:
    return "paused" if view.paused else "running"


def _follow(settings: Settings, command: Control, wait: bool, timeout_s: float, as_json: bool) -> int:
    """Print the command and the workers that acknowledged it; 124 if some have not in time."""
    from streams.admin.members import workers_of
    from streams.log import kafka

    admin, processor = kafka.admin(settings), command.processor or ""
    give_up = time.monotonic() + (timeout_s if wait else 0.0)
    while True:
        workers = workers_of(admin, settings, processor) if wait else set()
        acknowledged = _acknowledged(settings, command) if wait else set()
        if workers <= acknowledged or time.monotonic() > give_up:
            break
        time.sleep(_PAUSE_S)
    missing = sorted(workers - acknowledged)
    if as_json:
        out_json({"command": command, "acknowledged": sorted(acknowledged), "missing": missing})
    else:
        out(f"{command.action} of {processor} requested at {command.at:%Y-%m-%d %H:%M:%S} UTC by {command.by}")
        for worker in sorted(acknowledged):
            out(f"acknowledged by {worker}")
    if wait and not acknowledged and not missing:
        err(f"No worker of {processor} runs at the moment; the next one to start will obey.")
    for worker in missing:
        err(f"not acknowledged by {worker} within {timeout_s:g} s")
    return ExitCode.WAIT_TIMED_OUT if missing else ExitCode.OK


def _acknowledged(settings: Settings, command: Control) -> set[str]:
    from streams import wiring

    with wiring.command_store(settings) as store:
        [view] = store.processors([command.processor or ""])
    return {answer.worker_id for answer in view.acknowledgements} if view.action == command.action else set()
