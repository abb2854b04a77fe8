"""The rows of the growth report: what grows, and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

#: Processors besides `echo` in the rows that have fifty.
FILE_PROCESSORS = tuple(f"file-{number:02}" for number in range(1, 50))
#: Jobs of a row whose number of jobs is not what grows.
USUAL_JOBS = 20_000
#: The longest message that a row sends through the log; larger payloads are a file in the object store.
LARGEST_MESSAGE = 200_000


@dataclass(frozen=True, slots=True)
class Installation:
    """The settings of a stack by their variables; `only`: the services to start, all for none. Each has a home of its own."""

    env: Mapping[str, str] = field(default_factory=dict)
    only: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class GrowthRow:
    """`what` grows and is now `size`. `payload`: bytes of each job. Rows of one installation share its stack, in order."""

    what: str
    size: str
    jobs: int
    installation: Installation
    processor: str = "echo"
    payload: int = 500


def _one(**env: str) -> Installation:
    """Return an installation of one worker and one sink that serves `echo`, with further settings."""
    return Installation({"SLUICE_PROCESSORS": "echo", "SLUICE_SINKS": "1", "SLUICE_LIGHT_WORKERS": "1", **env})


def rows(scale: float, *, full: bool) -> list[GrowthRow]:
    """Return all rows. `scale` multiplies the numbers of jobs; `full` adds those that take minutes each."""
    return [
        GrowthRow(
            each.what, each.size, max(20, round(each.jobs * scale)), each.installation, each.processor, each.payload
        )
        for each in _rows(full)
    ]


def _rows(full: bool) -> Iterator[GrowthRow]:
    base = _one()
    for jobs in (1_000, 10_000, 100_000, *([1_000_000] if full else [])):
        yield GrowthRow("jobs", f"{jobs:,}", jobs, base)
    for number in (1, 2, 4):
        env = {"SLUICE_SINKS": str(number), "SLUICE_LIGHT_WORKERS": str(number)}
        yield GrowthRow("workers and sinks", f"{number} + {number}", USUAL_JOBS, _one(**env))
    for partitions in (4, 64, 256):
        yield GrowthRow("partitions", str(partitions), USUAL_JOBS, _one(SLUICE_PARTITIONS=str(partitions)))
    many = _one(SLUICE_PROCESSORS=",".join(["echo", *FILE_PROCESSORS]))
    yield GrowthRow("processors", "1", USUAL_JOBS, _one(SLUICE_PARTITIONS="4"))
    many = Installation({**many.env, "SLUICE_PARTITIONS": "4"}, ("sink", "timekeeper", "gateway", "worker-echo"))
    yield GrowthRow("processors", "50, a worker for one", USUAL_JOBS, many)
    if full:
        yield GrowthRow("processors", "50, a worker for each", USUAL_JOBS, Installation(many.env))
    files = _one(SLUICE_PROCESSORS=f"echo,{FILE_PROCESSORS[0]}")
    yield GrowthRow("payload", "0.5 KB", USUAL_JOBS, files)
    yield GrowthRow("payload", "50 KB", USUAL_JOBS // 10, files, payload=50_000)
    yield GrowthRow("payload", "5 MB, as a file", 200, files, FILE_PROCESSORS[0], 5_000_000)


def by_installation(measured: Sequence[GrowthRow]) -> Iterator[tuple[Installation, list[GrowthRow]]]:
    """Yield rows that follow each other on one installation together."""
    for installation, of in groupby(measured, key=lambda row: row.installation):
        yield installation, list(of)
