"""`sluice notify`: send callbacks from a process of its own."""

from __future__ import annotations

from streams.cli.service import Service, serve
from streams.settings import Settings


def notify() -> int:
    """Send callbacks from a process of its own.

    By default the sink sends them. Use this for many or slow destinations that
    would take too much of the sink's CPU, and start the sinks with --no-notify
    (or SLUICE_NOTIFY=service). Every try is stored in the database. A callback is
    retried on a schedule until its destination accepts it or the tries run out;
    then it is parked.

    For example:

        SLUICE_NOTIFY=service sluice sink &
        sluice notify
    """

    def build(settings: Settings) -> Service:
        from streams.notify import Notifier

        return Notifier(settings)

    return serve("notify", build)
