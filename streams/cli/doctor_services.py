"""`sluice doctor`: the services of this machine, what was started again, and workers that have stopped taking jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from streams.cli.check import Check, Severity
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.health.ask import HealthAnswer
    from streams.stack import ComponentState, Restarts


def services(settings: Settings) -> list[Check]:
    """Check the services of this SLUICE_HOME. No service at all is fine: they may run elsewhere."""
    from streams.cli.service_status import restarts, stopped
    from streams.health.ask import ask_all

    answers, dead, failed = ask_all(settings.home), stopped(settings), restarts(settings)
    if not answers and not dead and not failed:
        return [Check("services", Severity.OK, "no service runs with this SLUICE_HOME")]
    circuits = [circuit for answer in answers for circuit in _circuits(answer)]
    return [*map(_service, answers), *circuits, *(_stopped(each, dead) for each in dead), *map(_restarted, failed)]


def _stopped(service: ComponentState, dead: Sequence[ComponentState]) -> Check:
    if service.name == "supervisor":
        return Check(service.name, Severity.PROBLEM, "has stopped: what dies is not started again", "Run `sluice up`.")
    alone = any(each.name == "supervisor" for each in dead)
    step = f"See its log {service.log}; {'' if alone else 'the supervisor, and also '}`sluice up` starts it again."
    return Check(service.name, Severity.PROBLEM, "has stopped", step)


def _restarted(failed: Restarts) -> Check:
    severity = Severity.PROBLEM if failed.crash_loop else Severity.WARNING
    step = "See its log. When the cause is gone, `sluice up` starts it at once and forgets these failures."
    return Check(failed.name, severity, str(failed), step)


def _circuits(answer: HealthAnswer) -> list[Check]:
    """Name the processors whose jobs all fail at this worker."""
    from streams.cli.service_status import open_circuits

    name = " ".join([answer.service_file.service, *answer.service_file.runs])
    step = (
        "See the worker's log, and the jobs: `sluice jobs --state FAILED`. It tries again by itself; "
        "other workers take the jobs meanwhile."
    )
    return [
        Check(name, Severity.PROBLEM if each.state == "open" else Severity.WARNING, str(each), step)
        for each in open_circuits(name, answer.status)
    ]


def _service(answer: HealthAnswer) -> Check:
    name = " ".join([answer.service_file.service, *answer.service_file.runs])
    if answer.ready:
        return Check(name, Severity.OK, f"ready (pid {answer.service_file.pid})")
    why = "; ".join(answer.reasons)
    if answer.ready is None:
        return Check(name, Severity.WARNING, f"pid {answer.service_file.pid}: {why}")
    step = "See its log." if answer.alive else "It hangs: see its log, then restart it."
    return Check(name, Severity.PROBLEM, f"not ready (pid {answer.service_file.pid}): {why}", step)
