"""`sluice demo`: run the demonstration."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from streams.cli.options import Json

Volumes = Annotated[int, Parameter(help="Number of MR volumes to segment.")]
Jobs = Annotated[int, Parameter(help="Number of light jobs (processor echo) to submit with them.")]
Keep = Annotated[bool, Parameter(help="Leave everything running at the end.")]


def demo(*, volumes: Volumes = 6, jobs: Jobs = 1000, keep: Keep = False, json: Json = False) -> int:
    """Run a demonstration: MR volumes and light jobs, from submit to callback.

    Starts everything that does not run yet, makes MR volumes with known lesions,
    submits them together with light jobs and shows the states of the jobs. Then
    prints where each result is stored, how well the lesions were found, and the
    callbacks that the backend received. Exit status 1 if a job does not have
    exactly one row and one callback. Stops what it started; data is kept.

    For example:

        sluice demo
        sluice demo --volumes 2 --jobs 10000
        sluice demo --keep                     # then: sluice jobs, sluice tail echo
    """
    from rich.console import Console

    from bench.demo.run import demonstrate
    from schemas.errors import ExitCode
    from streams.cli.output import out_json
    from streams.cli.stack_events import EventPrinter
    from streams.cli.up import bring_up
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
        out_json(report)
    return ExitCode.INTERNAL if report.violations else ExitCode.OK
