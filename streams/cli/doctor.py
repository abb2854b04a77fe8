"""`sluice doctor`: every dependency, and what to do."""

from __future__ import annotations

from streams.cli.options import Json
from streams.cli.output import out, say_json


def doctor(*, json: Json = False) -> int:
    """Check every dependency and say what to do.

    Kafka, the schema registry, topics, Postgres, the object store, Java, the device
    and the disk. Nothing is changed but for one small object in the store. Exit
    status 0 when all is well, 6 when something is unreachable, 8 when something
    answers but can't be used as it is.

    For example:

        sluice doctor
        sluice doctor --json | jq '.[] | select(.finding != "ok")'
    """
    from schemas.errors import ExitCode
    from streams.cli.doctor_checks import Severity, run_checks
    from streams.settings import load_settings

    checks = run_checks(load_settings())
    if json:
        say_json(checks)
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            out(f"{check.finding:<11}  {check.name.ljust(width)}  {check.detail}")
            if check.next_step and check.finding is not Severity.OK:
                out(f"{'':11}  {'':{width}}  → {check.next_step}")
    findings = {check.finding for check in checks}
    if Severity.UNREACHABLE in findings:
        return ExitCode.UNREACHABLE
    return ExitCode.PARTIAL if Severity.PROBLEM in findings else ExitCode.OK
