"""What becomes of a job whose process is gone. Pure: it changes how the job will be sent to the next one.

Only a death that we did not cause, while the job ran, makes it a suspect; that many make it a killer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.errors import ErrorCode
from streams.worker.frames import Flag
from streams.worker.ledger import Held


def died_under(held: Held, limit: int) -> None:
    """The process died by itself while this job ran. After `limit` such deaths the job is not run again."""
    held.started = False
    if held.flags & Flag.VERDICT:
        # It was only to be answered. If it was alone then, reading it is what kills.
        held.flags |= Flag.UNREADABLE if held.flags & Flag.ALONE else Flag.ALONE
        return
    held.deaths += 1
    if held.deaths >= limit:
        _sentence(held, ErrorCode.WORKER_LOST)
    else:
        held.execution += 1
    held.flags |= Flag.ALONE


def killed_for(running: Sequence[Held], overdue: Mapping[int, ErrorCode]) -> None:
    """We killed the process for the jobs in `overdue`. The others that ran in it run again.

    Cancelled jobs and those past their deadline end whatever held them up. A hard limit blames one job; several that ran
    together and passed theirs together are each given it again, alone.
    """
    slow = [held for held in running if overdue.get(held.slot) is ErrorCode.TIMEOUT_ERROR]
    for held in running:
        held.started = False
        why = overdue.get(held.slot)
        if held.flags & Flag.VERDICT:
            continue
        if why is None or (why is ErrorCode.TIMEOUT_ERROR and len(slow) > 1):
            held.execution += 1
            held.flags |= Flag.ALONE if why else 0
        else:
            _sentence(held, why)


def outlived(running: Sequence[Held]) -> None:
    """The process ended because we asked it to, between two batches: nothing of these had come to anything."""
    for held in running:
        held.started = False


def called_off(held: Held) -> None:
    """It was asked to stop, and its process is gone: it need not be run to be stopped."""
    if not held.flags & Flag.VERDICT:
        _sentence(held, ErrorCode.CANCELLED)


def _sentence(held: Held, code: ErrorCode) -> None:
    held.flags |= Flag.VERDICT
    held.verdict = code.encode()
