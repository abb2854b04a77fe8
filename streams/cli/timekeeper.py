"""`sluice timekeeper`: what waits for a time."""

from __future__ import annotations

from datetime import timedelta

from streams.cli.service import Service, serve
from streams.settings import Settings


def timekeeper() -> int:
    """Do what waits for a time: retries and deadlines.

    Everything that waits is a row in the database with a due time, by the
    database's clock. Ended jobs older than SLUICE_KEEP_DAYS, if set, are removed.
    Several may run: one leads, the others take over when it is gone.

    For example:

        sluice timekeeper
    """

    def build(settings: Settings) -> Service:
        from streams.timekeeper import Timekeeper

        return Timekeeper(settings, keep=None if settings.keep_days is None else timedelta(days=settings.keep_days))

    return serve("timekeeper", build)
