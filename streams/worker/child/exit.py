"""The start and the end of the child's processes: each dies with its parent, and does not keep it waiting.

A thread that never ends would block Python's own exit, and a process that outlives the child would hold open the pipe that the
parent reads until its end.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

_PR_SET_PDEATHSIG = 1


@contextlib.contextmanager
def startup_timeout(trace: Path, seconds: float) -> Iterator[None]:
    """End this process when the block takes longer than `seconds`; `trace` then holds every thread's traceback.

    The timer is faulthandler's: a thread in C that does not need the GIL, so native code that holds the GIL is caught as well.
    """
    with trace.open("w", encoding="utf-8") as file:
        faulthandler.dump_traceback_later(seconds, exit=True, file=file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            trace.unlink()


def hide_pipes_from_forks(*pipes: int) -> None:
    """Keep `pipes` out of every process that this one starts, by exec or by fork."""
    for pipe in pipes:
        os.set_inheritable(pipe, False)
    devnull = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)

    def replace_pipes() -> None:
        for pipe in pipes:
            os.dup2(devnull, pipe, inheritable=False)  # not closed: the number could be given to another file

    os.register_at_fork(after_in_child=replace_pipes)


def run_and_exit(work: Callable[[], int]) -> NoReturn:
    """Run `work` and end the process with the status it returns, without waiting for any thread."""
    status = 1
    try:
        status = work()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            sys.stderr.write(error.code + "\n")
    except BaseException:  # noqa: BLE001 - as Python does: print it and exit
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(status & 0xFF)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends. That thread lives as long as the parent."""
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)  # the parent died before we asked


def tune_gc() -> None:
    """Leave the objects made so far to themselves: they live as long as the process (measured: +12 %)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
