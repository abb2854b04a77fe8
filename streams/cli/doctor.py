"""`sluice doctor`: check every dependency."""

from __future__ import annotations

from streams.cli.options import Json
from streams.cli.output import out, out_json


def doctor(*, json: Json = False) -> int:
    """Check every dependency and say how to fix what is wrong.

    Checks Kafka, the schema registry, topics, Postgres, callback shapes, the
    backend of callbacks, the gateway's port, the object store, Java, the device,
    the disk and the services. Lists the registered processors and the gateway's
    routes, and imports the processors that are served as their workers do: one
    that can't be imported is shown with its traceback. Writes one small object to
    the object store and changes nothing else. Exit status 0 if nothing is wrong
    (warnings count as fine), 6 if something is unreachable, 8 if something answers
    but can't be used as it is.

    For example:

        sluice doctor
        sluice doctor --json | jq '.[] | select(.severity != "ok")'
    """
    from schemas.errors import ExitCode
    from streams.cli.check import Severity
    from streams.cli.doctor_checks import run_checks
    from streams.settings import load_settings

    checks = run_checks(load_settings())
    if json:
        out_json(checks)
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            first, *more = check.detail.splitlines()
            out(f"{check.severity:<11}  {check.name.ljust(width)}  {first}")
            for line in more:  # of a traceback
                out(f"{'':11}  {line}")
            if check.next_step and check.severity is not Severity.OK:
                out(f"{'':11}  {'':{width}}  → {check.next_step}")
    severities = {check.severity for check in checks}
    if Severity.UNREACHABLE in severities:
        return ExitCode.UNREACHABLE
    return ExitCode.PARTIAL if Severity.PROBLEM in severities else ExitCode.OK
