"""`sluice notify`: callbacks delivered by a process of their own."""

from __future__ import annotations

from streams.cli.service import Service, serve
from streams.settings import Settings


def notify() -> int:
    """Deliver callbacks in a process of their own.

    The sink does this itself by default. A process of its own is for destinations
    so slow or so many that they shall not share the sink's CPU; start the sinks
    with SLUICE_NOTIFY=service (or --no-notify) then. Each try is a row in the
    database; a delivery is retried on a schedule until it is taken or parked.

    For example:

        SLUICE_NOTIFY=service sluice sink &
        sluice notify
    """

    def build(settings: Settings) -> Service:
        from streams.notify import Notifier

        return Notifier(settings)

    return serve("notify", build)
