"""How many processes of a service a machine's cores make useful.."""

from __future__ import annotations

import os
from math import ceil

#: Cores that a job's other processes keep busy while one sink, or one light worker, is busy on a core of its own: the CPU time
#: of a job in all processes of a machine, divided by that in the sink, and by that in a light worker's child
#: (bench/results/2026-11-29.md: 720 µs, of these 240 µs and 64 µs).
CORES_OF_A_SINK = 3
CORES_OF_A_LIGHT_WORKER = 11


def usable_cores() -> int:
    """Return the number of cores that this process may run on. A quota of CPU time, as of a container, is not seen."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def useful_sinks(cores: int, partitions: int) -> int:
    """Return the number of sinks that the cores make useful, at least 1."""
    return fewest(ceil(cores / CORES_OF_A_SINK), partitions)


def useful_light_workers(cores: int, partitions: int) -> int:
    """Return the number of workers that the cores make useful for each light processor, at least 1."""
    return fewest(ceil(cores / CORES_OF_A_LIGHT_WORKER), partitions)


def fewest(members: int, partitions: int) -> int:
    """Return the fewest members of a group of which none gets more partitions of a topic than with `members`.

    Five members share 12 partitions as 3, 3, 2, 2, 2, so four of them do: 3, 3, 3, 3.
    """
    return ceil(partitions / ceil(partitions / members))
