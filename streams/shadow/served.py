"""Checks that a live worker serves the version of a shadow run."""

from __future__ import annotations

from schemas.contract import contract
from schemas.errors import UsageError
from schemas.states import Custody
from streams.admin.members import versions_served
from streams.log import kafka
from streams.settings import Settings


def check_served(settings: Settings, processor: str, version: str) -> None:
    """Refuse a shadow run that no worker would run now. Raises UsageError with the versions that are served; Unreachable,
    UnknownProcessor.

    Workers that get jobs by lease are in no group, and older workers do not say what they serve: then nothing is refused.
    """
    if settings.custody(contract(processor)) is Custody.LEASE:
        return
    workers = versions_served(kafka.admin(settings), settings, processor)
    known = sorted({each for versions in workers.values() for each in versions})
    if version in known or any(not versions for versions in workers.values()):
        return
    serve = f"Start a worker with SLUICE_ROLLOUT='{processor}={known[0] if known else 'VERSION'},{version}:0'."
    if not workers:
        raise UsageError(f"No worker of {processor!r} runs, so nothing would run version {version!r}.", next_step=serve)
    raise UsageError(
        f"No worker of {processor!r} serves version {version[:100]!r}; served: {', '.join(known)}.",
        next_step=f"Choose one of these. {serve}",
    )
