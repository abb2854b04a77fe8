"""The hint that a submit prints if no worker serves the processor."""

from __future__ import annotations

from schemas.contract import AnyContract
from schemas.errors import SluiceError
from schemas.states import Custody
from streams.cli.output import err
from streams.settings import Settings


def say_if_unserved(settings: Settings, contract: AnyContract) -> None:
    """Print a hint if no worker of the processor runs now: an accepted job would wait, and nothing else would say why."""
    from streams.admin.members import workers_of
    from streams.log import kafka

    if settings.custody(contract) is Custody.LEASE:
        return  # workers claim such jobs from the store; no consumer group names them
    try:
        running = workers_of(kafka.admin(settings), settings, contract.name)
    except SluiceError:
        return  # the job is accepted all the same
    if not running:
        err(f"No live worker of {contract.name}: the job waits until one starts (`sluice worker {contract.name}`).")
