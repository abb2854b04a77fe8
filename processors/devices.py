"""Picks the device that a model runs on: the one that was asked for, or the best on which a kernel ran.

That torch calls CUDA available proves little: a driver that is too old, or a GPU that is full or not accessible, only shows
when a kernel runs.
"""

from __future__ import annotations

import gc
import re
import sys
from dataclasses import dataclass

from schemas.errors import StartupError

_WANTED = re.compile(r"auto|cpu|cuda(:\d+)?")


@dataclass(frozen=True, slots=True)
class Device:
    """`name`: "cpu" or "cuda:N". `reason`: why this one was picked. `fallback`: the error, in a line, of the better device that
    `auto` tried first; None if there was none."""

    name: str
    reason: str
    fallback: str | None = None

    @property
    def warning(self) -> bool:
        """True if an operator should read the reason."""
        return self.fallback is not None


def pick_device(wanted: str = "auto") -> Device:
    """Pick a device. `auto` picks CUDA if a kernel runs there, else the CPU, with a warning.

    Raises StartupError for a name that is no device, and for a CUDA device that was asked for by name and does not work.
    """
    if not _WANTED.fullmatch(wanted):
        raise StartupError(f"{wanted!r} is no device.", next_step="Use auto, cpu, cuda or cuda:N.")
    if wanted == "cpu":
        return Device("cpu", "asked for")
    name = wanted if ":" in wanted else "cuda:0"
    fault = cuda_fault(name)
    if fault is None:
        return Device(name, "asked for" if wanted != "auto" else "a kernel ran on it")
    if wanted == "auto":
        return Device("cpu", f"running on the CPU, because CUDA does not work here: {fault}", fault)
    raise StartupError(f"{wanted} was asked for and does not work: {fault}.", next_step="Use --device auto or cpu.")


def cuda_fault(name: str) -> str | None:
    """Run a small kernel on the device. Returns None if the result is right, else the error in a line."""
    try:
        import torch
    except ImportError:
        return "torch is not installed"
    if not torch.cuda.is_available():
        return "torch finds no CUDA device"
    try:
        ones = torch.ones(64, 64, device=name)
        total = float((ones @ ones).sum().item())
    except (RuntimeError, AssertionError) as error:
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    return None if total == 64.0**3 else f"a kernel on {name} computed {total}"


def release_memory() -> None:
    """Release the memory that the device's allocator caches. Does nothing if torch was never imported."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()
