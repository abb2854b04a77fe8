"""What a batch of events means. Pure: events in the order in which they were read go in, one fold a job comes out.

What is decided here holds within the batch; the same rules stand in `store_batch.sql` for what is stored already, so that it
makes no difference where one batch ends and the next begins (a property test says so).

- A run only moves forward, by attempt and then by phase: a late event changes nothing.
- The first end of a run is its candidate; any other end, and a retry after it, is superseded.
- A job's first input stands, and only the store knows which was first: an event with another input hash than its batch has
  seen goes into a batch of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

from connectors.store import LogPosition
from streams.sink.event import Event, Phase

SUPERSEDED = "superseded"


class Role(IntEnum):
    """Whether an event's place in history depends on what the store finds (store_batch.sql)."""

    STANDS = 0
    MUST_MOVE = 1
    MUST_WIN = 2
    NOTED = 3


@dataclass(slots=True)
class RunFold:
    """`best` took the run furthest. `request_place` is where a retry would find the request."""

    best: Event
    winner: Event | None = None
    request_place: LogPosition | None = None


@dataclass(slots=True)
class HistoryEntry:
    """One line of history. `kind` is the event's own unless the batch itself has superseded it."""

    event: Event
    kind: str
    role: Role


@dataclass(slots=True)
class JobFold:
    """`first` brought the job's own part: tenant, input hash, callback."""

    first: Event
    runs: dict[int, RunFold] = field(default_factory=dict)
    told: list[HistoryEntry] = field(default_factory=list)


def fold(events: Iterable[Event]) -> tuple[list[JobFold], list[Event]]:
    """Each job's events, folded, sorted by job id (so that two sinks lock rows in one order); and the events that must wait
    until these folds are stored, because they came with another input."""
    jobs: dict[bytes, JobFold] = {}
    later: list[Event] = []
    for event in events:
        job = jobs.get(event.job_id)
        if job is None:
            job = jobs[event.job_id] = JobFold(event)
        if event.phase is not Phase.NOTED and _other_input(job, event):
            later.append(event)
        else:
            _add(job, event)
    return [job for _, job in sorted(jobs.items())], later


def _add(job: JobFold, event: Event) -> None:
    if event.phase is Phase.NOTED:
        job.told.append(HistoryEntry(event, event.kind, Role.NOTED))
    else:
        kind, role = _move(job, event)
        job.told.append(HistoryEntry(event, kind, role))


def _other_input(job: JobFold, event: Event) -> bool:
    known, given = job.first.header["input_sha256"], event.header["input_sha256"]
    if (
        not known or job.first.phase is Phase.NOTED
    ):  # that one could not be read, or decides nothing: this one is the first
        job.first = event
        return False
    return bool(given) and given != known


def _move(job: JobFold, event: Event) -> tuple[str, Role]:
    run, moves = job.runs.get(event.run), True
    if run is None:
        run = job.runs[event.run] = RunFold(event)
    elif run.winner is None and (event.phase is Phase.ENDED or event.rank > run.best.rank):
        run.best = event
    else:
        moves = False
    run.request_place = run.request_place or event.request_place
    if event.phase is Phase.REQUESTED:
        return event.kind, Role.STANDS
    if not moves:
        return SUPERSEDED, Role.STANDS
    if event.phase is Phase.RETRYING:
        return event.kind, Role.MUST_MOVE
    run.winner = event
    return event.kind, Role.MUST_WIN
