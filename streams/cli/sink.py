"""`sluice sink`: store results; the first final result of a run becomes its outcome."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from streams.cli.service import Service, serve
from streams.settings import Settings, load_settings

NoNotify = Annotated[
    bool, Parameter(help="Do not send callbacks: `sluice notify` does. Same as SLUICE_NOTIFY=service.")
]


def sink(*, no_notify: NoNotify = False) -> int:
    """Store each job's outcome and send its callback.

    Consumes requests, results and dead letters. The first final result of a job's
    run becomes its outcome; it is written to Postgres and published to the topic
    outcomes.<processor>. Callbacks are sent by a thread of this process, unless
    SLUICE_NOTIFY=service.

    For example:

        sluice sink                 # store outcomes and deliver callbacks
        sluice sink --no-notify     # store only, with `sluice notify` beside it
    """
    settings = load_settings()
    notify = settings.notify == "inline" and not no_notify

    def build(settings: Settings) -> Service:
        from streams.sink import Sink

        return Sink(settings, notify=notify)

    return serve("sink", build, settings)
