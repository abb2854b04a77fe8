"""Which device a model runs on: what was asked for, or the best that has proved to work.

torch saying that CUDA is available proves little: a driver too old, a full or a fenced-off GPU only shows when a kernel runs.
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
    """`name`: "cpu" or "cuda:N". `reason`: why this one. `fallback`: what went wrong with the better one that `auto` would
    have taken, in a line; None when nothing did."""

    name: str
    reason: str
    fallback: str | None = None

    @property
    def warning(self) -> bool:
        """Whether an operator should read the reason."""
        return self.fallback is not None


def pick_device(wanted: str = "auto") -> Device:
    """`auto` takes CUDA if a kernel runs there, else the CPU with a warning; a CUDA device asked for by name must work.

    Raises StartupError for a name that is no device, and for a CUDA device that was asked for and does not work.
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
    """Run a small kernel on the device; None when the result is right, else what went wrong, in a line."""
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
    """Give back what the device's allocator keeps in reserve, after it ran out. Does nothing where torch was never imported."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()
