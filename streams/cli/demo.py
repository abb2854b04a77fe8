"""`sluice demo`: the whole road, shown."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from streams.cli.options import Json

Volumes = Annotated[int, Parameter(help="MR volumes to segment.")]
Jobs = Annotated[int, Parameter(help="Light jobs to send beside them.")]
Keep = Annotated[bool, Parameter(help="Leave everything running at the end.")]


def demo(*, volumes: Volumes = 6, jobs: Jobs = 1000, keep: Keep = False, json: Json = False) -> int:
    """Show the whole road: real MR volumes and a thousand light jobs, from submit to callback.

    Starts what is not running, makes MR volumes with known lesions, submits them
    beside light jobs, shows their states as they come, and then where each result
    lies, how well the lesions were found, and what the backend was told. Ends with
    exit status 1 if any job has not exactly one row and one delivery. Stops what it
    started; data is kept.

    For example:

        sluice demo
        sluice demo --volumes 2 --jobs 10000
        sluice demo --keep                     # then: sluice jobs, sluice tail echo
    """
    from rich.console import Console

    from schemas.errors import ExitCode
    from streams.cli.output import say_json
    from streams.cli.stack_events import EventPrinter
    from streams.cli.up import bring_up
    from streams.demo.run import demonstrate
    from streams.settings import load_settings
    from streams.stack import LocalStack

    settings = load_settings()
    stack = LocalStack(settings.home)
    running = stack.status().running
    try:
        with EventPrinter() as events:
            settings = bring_up(settings, stack, events)
        report = demonstrate(settings, volumes, jobs, Console(stderr=json))
    finally:
        if not (keep or running):
            stack.down()
    if json:
        say_json(report)
    return ExitCode.INTERNAL if report.broken else ExitCode.OK
