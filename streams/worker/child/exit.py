"""How the child ends, and what it leaves behind: nothing that would keep its parent waiting.

A processor may have started anything. A thread that never ends would hold up Python's own way out for ever, and a process that
outlives the child would hold the pipe open that the parent reads until its end.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn


def hide_pipes_from_forks(*pipes: int) -> None:
    """What this process starts does not get these: neither a program, nor a copy of this process that Python makes."""
    for pipe in pipes:
        os.set_inheritable(pipe, False)
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)

    def let_go() -> None:
        for pipe in pipes:
            os.dup2(nowhere, pipe, inheritable=False)  # not closed: the number might be given to another file

    os.register_at_fork(after_in_child=let_go)


def run_and_exit(work: Callable[[], int]) -> NoReturn:
    """End the process with the status that `work` gives, without waiting for any thread."""
    status = 1
    try:
        status = work()
    except SystemExit as asked:
        status = asked.code if isinstance(asked.code, int) else int(asked.code is not None)
        if isinstance(asked.code, str):
            sys.stderr.write(asked.code + "\n")
    except BaseException:  # noqa: BLE001 - as Python does it: told, then the end
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(status & 0xFF)
