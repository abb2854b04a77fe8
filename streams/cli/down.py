"""`sluice down`: stops what `sluice up` started."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from streams.cli.options import Json
from streams.cli.output import out, say_json
from streams.cli.stack_events import EventPrinter

Only = Annotated[tuple[str, ...], Parameter(help="Only these parts or services; may be given several times.")]


def down(*, only: Only = (), json: Json = False) -> int:
    """Stop what `sluice up` started; data is kept.

    Services first: each finishes what it holds. Then Kafka, the registry and
    Postgres. With nothing running it does nothing.

    For example:

        sluice down
        sluice down --only worker-echo    # one service
    """
    from streams.settings import load_settings
    from streams.stack import LocalStack

    with EventPrinter(verbose=False) as events:
        stopped = LocalStack(load_settings().home).down(on_event=events, names=only or None)
    if json:
        say_json({"stopped": stopped})
    elif not stopped:
        out("Nothing was running.")
    return 0
