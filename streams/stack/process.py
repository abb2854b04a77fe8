"""Which process is which. A pid alone is no identity: pids are used again, and a stale one must never be killed.

A process is named by its pid and its birth: the boot it lives in and the tick it began at, which no later process with
the same pid can share. Linux answers from /proc; elsewhere `ps` does.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_HAS_PROC = Path("/proc/self/stat").exists()
_STATE, _GROUP, _THREADS, _START = 0, 2, 17, 19  # fields of /proc/PID/stat, counted after the command name
_LISTEN = "0A"


class ProcessId(NamedTuple):
    pid: int
    birth: str


def identify(pid: int) -> ProcessId | None:
    """The process that has this pid now; None when there is none, or only a zombie."""
    birth = _birth_from_proc(pid) if _HAS_PROC else _birth_from_ps(pid)
    return None if birth is None else ProcessId(pid, birth)


def alive(process: ProcessId) -> bool:
    return identify(process.pid) == process


def resident_bytes(pid: int) -> int | None:
    """Resident memory, or None when the process is gone or not ours to look at."""
    if not _HAS_PROC:
        kilobytes = _ps("rss=", pid)
        return int(kilobytes) * 1024 if kilobytes else None
    try:
        pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def group_members(leader: int) -> list[ProcessId]:
    """Living processes of the group that `leader` began (it may itself be gone)."""
    if not _HAS_PROC:
        table = subprocess.run(["/bin/ps", "-axo", "pid=,pgid="], capture_output=True, text=True, check=False).stdout
        pids = [int(pid) for pid, group in (line.split() for line in table.splitlines()) if int(group) == leader]
    else:
        pids = [pid for pid in _all_pids() if (stat := _stat(pid)) is not None and int(stat[_GROUP]) == leader]
    return [found for pid in pids if (found := identify(pid)) is not None]


def carriers(mark: str) -> list[ProcessId]:
    """Living processes whose environment holds `mark` (only where there is a /proc to read it from)."""
    wanted = mark.encode()
    pids = [pid for pid in _all_pids() if wanted in _environment(pid)]
    return [found for pid in pids if (found := identify(pid)) is not None]


def working_in(directory: Path) -> list[ProcessId]:
    """Living processes whose working directory is `directory` (only where there is a /proc)."""
    here = str(directory.resolve())
    pids = [pid for pid in _all_pids() if _link(_PROC / str(pid) / "cwd") == here]
    return [found for pid in pids if (found := identify(pid)) is not None]


def listens_on(pid: int, port: int) -> bool:
    """Whether the process itself listens on the port, so that a stranger's answer is never taken for its own.

    Where that can't be found out it is believed.
    """
    if not _HAS_PROC:
        return True
    inodes = _listening_inodes(pid, port)
    try:
        return bool(inodes) and any(
            _link(fd).removeprefix("socket:[").removesuffix("]") in inodes for fd in _open_files(pid)
        )
    except PermissionError:
        return True


def _listening_inodes(pid: int, port: int) -> set[str]:
    suffix = f":{port:04X}"
    found: set[str] = set()
    for table in ("tcp", "tcp6"):
        try:
            rows = (_PROC / str(pid) / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        fields = (row.split() for row in rows)
        found.update(row[9] for row in fields if row[1].endswith(suffix) and row[3] == _LISTEN)
    return found


def _open_files(pid: int) -> list[Path]:
    try:
        return list((_PROC / str(pid) / "fd").iterdir())
    except FileNotFoundError:
        return []


def _all_pids() -> Iterator[int]:
    if _HAS_PROC:
        yield from (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())


def _stat(pid: int) -> list[str] | None:
    try:
        # The command name stands in parentheses and may itself hold spaces and parentheses.
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _environment(pid: int) -> bytes:
    try:
        return (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return b""


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _birth_from_proc(pid: int) -> str | None:
    stat = _stat(pid)
    if stat is None or _over(stat):
        return None
    boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{stat[_START]}"


def _over(stat: list[str]) -> bool:
    """A zombie whose other threads still run is dying, not dead: it holds its ports and files until they end."""
    return stat[_STATE] == "X" or (stat[_STATE] == "Z" and int(stat[_THREADS]) <= 1)


def _birth_from_ps(pid: int) -> str | None:
    if _ps("stat=", pid).startswith("Z"):
        return None
    return _ps("lstart=", pid) or None


def _ps(column: str, pid: int) -> str:
    answer = subprocess.run(["/bin/ps", "-o", column, "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip()
