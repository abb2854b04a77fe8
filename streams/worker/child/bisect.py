"""Runs a batch on the device; one that fails is halved until the bad job stands alone. Pure but for the call to `run`.

In a batch of n, no job is run more than log2(n) times again (32: five), rounded up.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import Any

from schemas.errors import OutOfMemory, ProcessorBug
from streams.worker.child.text import to_text

Run = Callable[[Sequence[Any]], Sequence[Any]]
#: Told of items that the device could not hold together: the first one's place, and that after the last.
DidNotFit = Callable[[int, int], None]

#: torch's (for every kind of device), Python's and numpy's, ours. By name: the engine never imports torch.
_OUT_OF_MEMORY = frozenset({"OutOfMemoryError", "MemoryError", "OutOfMemory"})
#: What torch's allocator of the CPU's memory raises as a bare RuntimeError.
_CPU_ALLOCATOR = "DefaultCPUAllocator: can't allocate memory"
#: It stands within the first line of what torch says.
LONGEST_TEXT = 10_000


def run_all(run: Run, items: Sequence[Any], did_not_fit: DidNotFit) -> list[Any]:
    """One outcome per item, in order: what `run` gave, or the exception that the item causes when it is run alone.

    Once the device ran out of memory, what is left of the batch is run in pieces no larger than the half that is tried next.
    """
    outcomes: list[Any] = [None] * len(items)
    most = len(items)
    left = [(0, len(items))] if items else []
    while left:
        start, stop = left.pop()
        if stop - start > most:
            left.append((start + most, stop))
            stop = start + most
        error = _try(run, items, outcomes, start, stop)
        if error is None:
            continue
        if stop - start == 1:
            outcomes[start] = as_out_of_memory(error) if is_out_of_memory(error) else error
            continue
        half = (stop - start + 1) // 2
        if is_out_of_memory(error):
            most = half
            did_not_fit(start, stop)
        left += [(start + half, stop), (start, start + half)]
    return outcomes


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device, or the machine, could not hold what was asked of it."""
    if any(kind.__name__ in _OUT_OF_MEMORY for kind in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and _CPU_ALLOCATOR in to_text(error, LONGEST_TEXT)


def as_out_of_memory(error: Exception) -> OutOfMemory:
    """The device's own error as ours, with its traceback, so that the place it came from is not lost."""
    if isinstance(error, OutOfMemory):
        return error
    return OutOfMemory("The device could not hold even this one job.").with_traceback(error.__traceback__)


def _try(run: Run, items: Sequence[Any], outcomes: list[Any], start: int, stop: int) -> Exception | None:
    """Run these and write down what came of them; the exception, if they failed together.

    What its frames held on the device is let go: it would else stay there while the others run.
    """
    try:
        found = list(run(items[start:stop] if stop - start < len(items) else items))
        if len(found) != stop - start:
            raise ProcessorBug(
                f"run() gave {len(found)} outcomes for {stop - start} items; it owes one for each, in order."
            )
    except Exception as error:  # noqa: BLE001 - a processor may raise anything; it becomes the bad job's outcome
        _empty_frames(error)
        return error
    outcomes[start:stop] = found
    return None


def _empty_frames(error: BaseException | None) -> None:
    """The error keeps its places and loses its local variables; so do those it was raised from."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
