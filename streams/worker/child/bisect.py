"""Runs a batch on the device. A batch that fails is halved until the bad job is alone. Pure but for the call to `run`.

In a batch of n, each job runs at most log2(n) further times, rounded up (n = 32: five).
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import Any

from schemas.errors import OutOfMemory, ProcessorBug
from streams.worker.child.text import to_text

Run = Callable[[Sequence[Any]], Sequence[Any]]
#: Called with the range [start, stop) of items that did not fit into memory together.
OnOutOfMemory = Callable[[int, int], None]
#: Called with the error of a run before anything runs again. An exception that it raises ends `run_all`.
OnError = Callable[[Exception], None]

#: Classes of torch (for every kind of device), Python, numpy and ours, by name: the engine never imports torch.
_OUT_OF_MEMORY = frozenset({"OutOfMemoryError", "MemoryError", "OutOfMemory"})
#: Text of the bare RuntimeError that torch's CPU allocator raises.
_CPU_ALLOCATOR = "DefaultCPUAllocator: can't allocate memory"
#: Characters of an error's message that are searched; torch has that text in its first line.
LONGEST_TEXT = 10_000


def run_all(
    run: Run, items: Sequence[Any], on_out_of_memory: OnOutOfMemory, on_error: OnError = lambda error: None
) -> list[Any]:
    """Return one outcome per item, in order: the item's output, or the exception that it causes when it runs alone.

    Once the device ran out of memory, the rest of the batch runs in pieces no larger than the half that is tried next.
    """
    outcomes: list[Any] = [None] * len(items)
    max_size = len(items)
    pending = [(0, len(items))] if items else []
    while pending:
        start, stop = pending.pop()
        if stop - start > max_size:
            pending.append((start + max_size, stop))
            stop = start + max_size
        error = _try(run, items, outcomes, start, stop)
        if error is None:
            continue
        on_error(error)
        if stop - start == 1:
            outcomes[start] = as_out_of_memory(error) if is_out_of_memory(error) else error
            continue
        half = (stop - start + 1) // 2
        if is_out_of_memory(error):
            max_size = half
            on_out_of_memory(start, stop)
        pending += [(start + half, stop), (start, start + half)]
    return outcomes


def is_out_of_memory(error: BaseException) -> bool:
    """True if the device or the machine ran out of memory."""
    if any(kind.__name__ in _OUT_OF_MEMORY for kind in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and _CPU_ALLOCATOR in to_text(error, LONGEST_TEXT)


def as_out_of_memory(error: Exception) -> OutOfMemory:
    """Convert to our own error. The traceback is kept, so that the log still shows where memory ran out."""
    if isinstance(error, OutOfMemory):
        return error
    return OutOfMemory("The device could not hold even this one job.").with_traceback(error.__traceback__)


def _try(run: Run, items: Sequence[Any], outcomes: list[Any], start: int, stop: int) -> Exception | None:
    """Run items [start, stop) and store their outcomes; returns the exception if they failed together.

    The local variables of the failed frames are dropped: what they hold on the device would stay there while the others run.
    """
    try:
        found = list(run(items[start:stop] if stop - start < len(items) else items))
        if len(found) != stop - start:
            raise ProcessorBug(
                f"run() returned {len(found)} outcomes for {stop - start} items. Return one for each item, in order."
            )
    except Exception as error:  # noqa: BLE001 - a processor may raise anything; it becomes the bad job's outcome
        _clear_frames(error)
        return error
    outcomes[start:stop] = found
    return None


def _clear_frames(error: BaseException | None) -> None:
    """Drop the local variables of the frames of an error and its causes; file names and line numbers stay."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
