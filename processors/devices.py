"""Picks the device that a model runs on: the one that was asked for, or the best on which a kernel ran; and proves, after an
error, that the device still works.

That torch calls CUDA available proves little: a driver that is too old, or a GPU that is full or not accessible, only shows
when a kernel runs. After a device-side assert or an illegal access every later call of the process fails, quickly: only
another process can use the device again.
"""

from __future__ import annotations

import gc
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from schemas.errors import StartupError

_WANTED = re.compile(r"auto|cpu|([a-z]+)(:\d+)?")
#: How long a proof may take. A device that answers later is lost as well: its jobs would wait for ever.
PROOF_S = 30.0

#: Runs a small kernel on the device of this name ("cuda:0"); returns None if the result is right, else the error in a line.
#: With `settle` it first waits for all that the process has given to the device, so that an error there shows too.
DeviceCheck = Callable[[str, bool], str | None]


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
    asked = _WANTED.fullmatch(wanted)
    if asked is None or asked[1] not in (None, *_CHECKS):
        raise StartupError(f"{wanted!r} is no device.", next_step="Use auto, cpu, cuda or cuda:N.")
    if wanted == "cpu":
        return Device("cpu", "asked for")
    name = "cuda:0" if wanted == "auto" else wanted if ":" in wanted else f"{wanted}:0"
    fault = device_fault(name)
    if fault is None:
        return Device(name, "asked for" if wanted != "auto" else "a kernel ran on it")
    if wanted == "auto":
        return Device("cpu", f"running on the CPU, because CUDA does not work here: {fault}", fault)
    raise StartupError(f"{wanted} was asked for and does not work: {fault}.", next_step="Use --device auto or cpu.")


def device_fault(name: str, *, settle: bool = False, timeout_s: float = PROOF_S) -> str | None:
    """Prove a device with the check of its kind; see DeviceCheck. None also for a kind without a check, as the CPU is.

    The check has a thread of its own, because a call to a GPU that hangs never returns.
    """
    check = _CHECKS.get(name.partition(":")[0])
    if check is None:
        return None
    found: list[str | None] = []
    thread = threading.Thread(target=lambda: found.append(_checked(check, name, settle)), name="prove", daemon=True)
    thread.start()
    thread.join(timeout_s)
    return found[0] if found else f"{name} did not answer within {timeout_s:g} s"


def _checked(check: DeviceCheck, name: str, settle: bool) -> str | None:
    try:
        return check(name, settle)
    except Exception as error:  # noqa: BLE001 - whatever a driver raises, the device is not proven
        return type(error).__name__


def register_check(kind: str, check: DeviceCheck) -> None:
    """Make a kind of device known, such as "xpu": `--device xpu:0` is accepted, and proven by `check`."""
    _CHECKS[kind] = check


def device_in_use(name: str) -> str:
    """Return the device to prove for a processor that asked for `name`: CUDA's if it uses CUDA without having asked."""
    torch = sys.modules.get("torch")
    if name == "cpu" and torch is not None and torch.cuda.is_initialized():
        return f"cuda:{torch.cuda.current_device()}"
    return name


def cuda_fault(name: str, settle: bool = False) -> str | None:
    """Check a CUDA device; see DeviceCheck.

    The kernel has a stream of its own, so that it does not wait for a batch that another thread runs.
    """
    try:
        import torch
    except ImportError:
        return "torch is not installed"
    if not torch.cuda.is_available():
        return "torch finds no CUDA device"
    try:
        if settle:
            torch.cuda.synchronize(name)
        stream: Any = torch.cuda.Stream  # untyped in torch
        with torch.cuda.stream(stream(name)):
            ones = torch.ones(64, 64, device=name)
            total = float((ones @ ones).sum().item())
    except torch.OutOfMemoryError as error:
        # A device that is full works: after an error that is no reason to replace the process. At the start it is none to run
        # on it.
        return None if torch.cuda.memory_allocated(name) else _first_line(error)
    except (RuntimeError, AssertionError) as error:
        return _first_line(error)
    return None if total == 64.0**3 else f"a kernel on {name} computed {total}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


#: The check of each kind of device.
_CHECKS: dict[str, DeviceCheck] = {"cuda": cuda_fault}


def release_memory() -> None:
    """Release the memory that the device's allocator caches. Does nothing if torch was never imported."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()
