"""How much of the machine the stack's processes have used: CPU time and memory."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import psutil

from streams.stack.state import StackState


@dataclass(frozen=True, slots=True)
class Usage:
    """`cpu_s`: seconds of CPU since the process began, in user and kernel mode. `rss`: resident memory in bytes."""

    cpu_s: float
    rss: int

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.cpu_s + other.cpu_s, self.rss + other.rss)


NONE = Usage(0.0, 0)


def usage_of(pid: int) -> Usage:
    """Return what one process has used; nothing if it has ended."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            return Usage(times.user + times.system, process.memory_info().rss)
    return NONE


def usage_by_process(state: StackState) -> dict[str, Usage]:
    """Return what each running component and service has used, by its name.

    The processes that a service has started, such as a worker's child, count together as `NAME child`; those of Postgres count
    as Postgres.
    """
    used: dict[str, Usage] = {}
    for each in (*state.components, *state.services):
        if each.pid is None or not each.running:
            continue
        used[each.name] = usage_of(each.pid)
        with suppress(psutil.Error):
            for child in psutil.Process(each.pid).children(recursive=True):
                name = each.name if each.name == "postgres" else f"{each.name} child"
                used[name] = used.get(name, NONE) + usage_of(child.pid)
    return used


def usage_of_tree(pid: int) -> Usage:
    """Return what a process and its descendants have used, those that it has waited for included.

    Memory counts pages that forked processes share once for each of them.
    """
    used = NONE
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                ended = each.cpu_times()
                used += usage_of(each.pid) + Usage(ended.children_user + ended.children_system, 0)
    return used


def machine_cpu_s() -> float:
    """Return the seconds of CPU that all processes of this machine have used since it started."""
    times = psutil.cpu_times()
    # On Linux the time of guests is part of user and nice.
    return sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq"))
