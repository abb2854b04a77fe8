"""`sluice timekeeper`: run scheduled work."""

from __future__ import annotations

from datetime import timedelta

from streams.cli.service import Service, serve
from streams.settings import Settings


def timekeeper() -> int:
    """Run scheduled work: retries, deadlines, delayed jobs.

    Scheduled work is stored in the database, whose clock says when it is due. Also
    deletes jobs that ended more than SLUICE_KEEP_DAYS days ago (default: never).
    Several may run: one is the leader, and another takes over if it dies or hangs.

    For example:

        sluice timekeeper
    """

    def build(settings: Settings) -> Service:
        from streams.timekeeper import Timekeeper

        return Timekeeper(settings, keep=None if settings.keep_days is None else timedelta(days=settings.keep_days))

    return serve("timekeeper", build)
