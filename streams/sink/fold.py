"""Folds a batch of events, in the order in which they were read, into one fold per job. Pure.

The rules hold within the batch; `store_batch.sql` applies the same rules to what is stored already. So it makes no difference
where one batch ends and the next begins (a property test checks this).

- A run only moves forward, by attempt and then by phase: a late event changes nothing.
- The first terminal event of a run is its candidate; any other, and a retry after it, is superseded.
- A job keeps its first input. Only the store knows which one was first, so an event with another input hash than the batch's
  goes into a later batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

from connectors.sink_store import LogPosition
from streams.sink.event import Event, Phase

SUPERSEDED = "superseded"


class Role(IntEnum):
    """When store_batch.sql records an event in history under its own kind. In all other cases it is recorded as superseded."""

    STANDS = 0  # if its job is known
    MUST_MOVE = 1  # if it moved its run (a retry)
    MUST_WIN = 2  # if it became the outcome (an end)
    NOTED = 3  # always


@dataclass(slots=True)
class RunFold:
    """A run's events. `best`: the one that is furthest along. `candidate`: becomes the outcome unless the store has one.
    `request_position`: where a retry finds the request."""

    best: Event
    candidate: Event | None = None
    request_position: LogPosition | None = None


@dataclass(slots=True)
class HistoryEntry:
    """An event in the history of its job. `kind` is the event's own unless another event of the batch superseded it."""

    event: Event
    kind: str
    role: Role


@dataclass(slots=True)
class JobFold:
    """A job's events. The header of `first` supplies the job's own fields: tenant, input hash, callback."""

    first: Event
    runs: dict[int, RunFold] = field(default_factory=dict)
    history: list[HistoryEntry] = field(default_factory=list)


def fold(events: Iterable[Event]) -> tuple[list[JobFold], list[Event]]:
    """Return one fold per job, sorted by job id so that two sinks lock rows in the same order; and the events that must wait
    until these folds are stored, because they have another input."""
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
        job.history.append(HistoryEntry(event, event.kind, Role.NOTED))
    else:
        kind, role = _move(job, event)
        job.history.append(HistoryEntry(event, kind, role))


def _other_input(job: JobFold, event: Event) -> bool:
    first_input, event_input = job.first.header["input_sha256"], event.header["input_sha256"]
    if not first_input or job.first.phase is Phase.NOTED:
        job.first = event  # replaces one that could not be decoded or is only noted
        return False
    return bool(event_input) and event_input != first_input


def _move(job: JobFold, event: Event) -> tuple[str, Role]:
    run, moves = job.runs.get(event.run), True
    if run is None:
        run = job.runs[event.run] = RunFold(event)
    elif run.candidate is None and (event.phase is Phase.ENDED or event.rank > run.best.rank):
        run.best = event
    else:
        moves = False
    run.request_position = run.request_position or event.request_position
    if event.phase is Phase.REQUESTED:
        return event.kind, Role.STANDS
    if not moves:
        return SUPERSEDED, Role.STANDS
    if event.phase is Phase.RETRYING:
        return event.kind, Role.MUST_MOVE
    run.candidate = event
    return event.kind, Role.MUST_WIN
