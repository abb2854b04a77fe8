"""What becomes of a job whose process is gone. Pure: it changes how the job will be sent to the next one.

Only a death that we did not cause, while the job ran, makes it a suspect; that many make it a killer.

Each kill gets somewhere: a job that we killed for is sent differently to the next process, one step further each time, until it
is put aside unread. So a job can cause a handful of kills at most, however it came to be late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.errors import ErrorCode
from streams.worker.in_flight import InFlightJob
from streams.worker.protocol import Flag


def died_under(held: InFlightJob, limit: int) -> None:
    """The process died by itself while this job ran. After `limit` such crashes the job is not run again."""
    held.started = False
    if held.flags & Flag.REJECTED:
        _set_aside(held)
        return
    held.crashes += 1
    if held.crashes >= limit:
        _sentence(held, ErrorCode.WORKER_LOST)
    else:
        held.execution += 1
    held.flags |= Flag.ISOLATED


def killed_for(running: Sequence[InFlightJob], overdue: Mapping[int, ErrorCode]) -> None:
    """We killed the process for the jobs in `overdue`. The others that ran in it run again.

    Cancelled jobs and those past their deadline end whatever held them up. A hard limit blames one job; several that ran
    together and passed theirs together are each given it again, alone.
    """
    slow = sum(why is ErrorCode.TIMEOUT_ERROR for why in map(overdue.get, (held.slot for held in running)))
    for held in running:
        held.started = False
        why = overdue.get(held.slot)
        if held.flags & Flag.REJECTED:
            if why is not None:
                _set_aside(held)
        elif why is None:
            held.execution += 1
        elif why is ErrorCode.TIMEOUT_ERROR and slow > 1 and not held.flags & Flag.ISOLATED:
            held.execution += 1
            held.flags |= Flag.ISOLATED
        else:
            _sentence(held, why)


def outlived(running: Sequence[InFlightJob]) -> None:
    """The process ended because we asked it to, between two batches: nothing of these had come to anything."""
    for held in running:
        held.started = False


def called_off(held: InFlightJob) -> None:
    """It was asked to stop, and its process is gone: it need not be run to be stopped."""
    if not held.flags & Flag.REJECTED:
        _sentence(held, ErrorCode.CANCELLED)


def _set_aside(held: InFlightJob) -> None:
    """It was only to be answered. If it was alone then, reading it is what kills, or what takes for ever."""
    held.flags |= Flag.SKIP_DECODING if held.flags & Flag.ISOLATED else Flag.ISOLATED


def _sentence(held: InFlightJob, code: ErrorCode) -> None:
    held.flags |= Flag.REJECTED
    held.error_code = code.encode()
