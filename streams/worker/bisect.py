"""Runs a batch on the device; one that fails is halved until the bad job stands alone. Pure but for the call to `run`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from schemas.errors import OutOfMemory, ProcessorBug

Run = Callable[[Sequence[Any]], Sequence[Any]]

#: torch's, by name: the engine never imports torch.
_OUT_OF_MEMORY = ("OutOfMemoryError", "MemoryError", "OutOfMemory")


def run_all(run: Run, items: Sequence[Any], on_out_of_memory: Callable[[int], None]) -> list[Any]:
    """One outcome per item, in order: what `run` gave, or the exception that the item causes when it is run alone.

    `on_out_of_memory` hears the size of a batch that seems safe, whenever one did not fit.
    """
    try:
        return _checked(run(items), len(items))
    except Exception as error:  # noqa: BLE001 - a processor may raise anything; it becomes the bad job's outcome
        too_large = is_out_of_memory(error)
        if len(items) == 1:
            return [_named(error) if too_large else error]
    if too_large:
        on_out_of_memory(len(items) // 2)
    middle = len(items) // 2
    return [
        *run_all(run, items[:middle], on_out_of_memory),
        *run_all(run, items[middle:], on_out_of_memory),
    ]


def is_out_of_memory(error: BaseException) -> bool:
    return type(error).__name__ in _OUT_OF_MEMORY


def _checked(outcomes: Sequence[Any], expected: int) -> list[Any]:
    found = list(outcomes)
    if len(found) != expected:
        raise ProcessorBug(f"run() gave {len(found)} outcomes for {expected} items; it owes one for each, in order.")
    return found


def _named(error: Exception) -> OutOfMemory:
    """The device's own error as ours, with its traceback, so that the place it came from is not lost."""
    if isinstance(error, OutOfMemory):
        return error
    return OutOfMemory("The device could not hold even this one job.").with_traceback(error.__traceback__)
