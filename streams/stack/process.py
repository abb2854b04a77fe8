"""Identifies processes. A pid alone is no identity: the system reuses pids, and a stale one must never be killed.

A process is identified by its pid and its birth: the boot it lives in and the clock tick it started at. No later process with
the same pid can have both. psutil's start time is not used on Linux, because it shifts with the system clock.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

_STARTED = 19  # a field of /proc/PID/stat, counted after the command name


class ProcessId(NamedTuple):
    pid: int
    birth: str


def identify(pid: int) -> ProcessId | None:
    """Return the process that has this pid now; None if there is none, or only a zombie.

    A zombie with living threads counts as alive: it keeps its ports and files until they end.
    """
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD) and process.num_threads() <= 1:
            return None
        return ProcessId(pid, _birth(process))
    except (psutil.NoSuchProcess, OSError):
        return None


def alive(process: ProcessId) -> bool:
    return identify(process.pid) == process


def was_killed(pid: int) -> bool:
    """Return whether the process has got a SIGKILL that it still has to obey. False where there is no /proc to read it from."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("ShdPnd:"):
                return bool(int(line.split()[1], 16) >> (signal.SIGKILL - 1) & 1)
    return False


def group_members(leader: int) -> list[ProcessId]:
    """Return the living processes of the group that `leader` started; the leader itself may be gone."""
    return _living(lambda process: os.getpgid(process.pid) == leader)


def carriers(mark: str) -> list[ProcessId]:
    """Return the living processes that have `mark` in their environment, as far as this user may read it."""

    def carries(process: psutil.Process) -> bool:
        variables = process.as_dict(["environ"], ad_value={})["environ"]
        return any(mark in f"{name}={value}" for name, value in variables.items())

    return _living(carries)


def working_in(directory: Path) -> list[ProcessId]:
    """Return the living processes whose working directory is `directory`, as far as this user may read it."""
    wanted = str(directory.resolve())
    return _living(lambda process: process.cwd() == wanted)


def listens_on(pid: int, port: int) -> bool | None:
    """Return whether the process itself listens on the port, so that another's answer is never taken for its own.

    None if this user may not look.
    """
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.AccessDenied:
        return None
    except psutil.NoSuchProcess:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in connections)


def _living(matches: Callable[[psutil.Process], bool]) -> list[ProcessId]:
    found = []
    for pid in psutil.pids():
        with suppress(psutil.Error, OSError):  # it has ended, or belongs to another user
            if matches(psutil.Process(pid)) and (identity := identify(pid)) is not None:
                found.append(identity)
    return found


def _birth(process: psutil.Process) -> str:
    if not psutil.LINUX:
        return str(process.create_time())
    # The command name is in parentheses and may itself contain spaces and parentheses.
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}:{fields[_STARTED]}"
