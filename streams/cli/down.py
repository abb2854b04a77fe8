"""`sluice down`: stop what `sluice up` started."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from streams.cli.options import Json
from streams.cli.output import out, out_json
from streams.cli.stack_events import EventPrinter

Only = Annotated[
    tuple[str, ...],
    Parameter(help="Stop only this service or component (sink, sink.2, worker-echo, …); repeatable. Default: all."),
]


def down(*, only: Only = (), json: Json = False) -> int:
    """Stop everything that `sluice up` started; data is kept.

    Services stop first, each after its jobs in flight have finished (at most
    SLUICE_DRAIN_S seconds). Then Kafka, the registry and Postgres stop.

    For example:

        sluice down
        sluice down --only worker-echo    # one service
    """
    from streams.settings import load_settings
    from streams.stack import LocalStack
    from streams.stack.services import kind_of

    stack = LocalStack(load_settings().home)
    numbered = [each.name for each in stack.status().services if kind_of(each.name) in only]
    with EventPrinter(verbose=False) as events:
        stopped = stack.down(on_event=events, names=[*only, *numbered] or None)
    if json:
        out_json({"stopped": stopped})
    elif not stopped:
        out("Nothing was running.")
    return 0
