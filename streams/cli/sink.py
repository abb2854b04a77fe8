"""`sluice sink`: the arbiter at work."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from streams.cli.service import Service, serve
from streams.settings import Settings, load_settings

NoNotify = Annotated[bool, Parameter(help="Leave the callbacks to `sluice notify`.")]


def sink(*, no_notify: NoNotify = False) -> int:
    """Decide and store outcomes, and tell backends.

    Reads requests, results and dead letters, lets the first final result of each
    job and run win, writes it to Postgres and publishes it to outcomes.<processor>.
    Callbacks go out from a thread of this process unless SLUICE_NOTIFY=service.

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
