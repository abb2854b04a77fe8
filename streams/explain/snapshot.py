"""Everything that explains a job, as it was at one moment. `collect.py` fills it, `explain.py` reads it.

A part that is None was not asked for, or did not answer; then `missing` names its source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from connectors.delivery_admin import DestinationView
from connectors.lease_store import LeaseView
from connectors.views import JobView, OverdueView, ProcessorView, RunState
from schemas.records import Coordinates, ErrorInfo, JobHeader
from schemas.states import Custody
from streams.explain.pace import Pace


class Dependency(StrEnum):
    """A part of the installation that is asked, by the name that people use."""

    POSTGRES = "Postgres"
    KAFKA = "Kafka"
    REGISTRY = "the schema registry"


@dataclass(frozen=True, slots=True)
class Missing:
    """A source that did not answer. `reason`: its error, which may hold addresses."""

    dependency: Dependency
    reason: str


class RecordReading(StrEnum):
    """How far the workers' group is with the record of a request."""

    UNREAD = "unread"  # no worker has taken it
    TAKEN = "taken"  # in flight in a worker
    FINISHED = "finished"  # its result is in the log


@dataclass(frozen=True, slots=True)
class LogPlace:
    """A request's place in its partition. `ahead`: unfinished records before it that no worker has taken. `in_flight`: records
    of the partition that workers have taken and not finished. `committed`: None if the group has no offset there. `crashes`:
    executions of this record that ended with their worker. `behind`: records beyond the committed offset."""

    request: Coordinates
    reading: RecordReading
    ahead: int
    in_flight: int
    committed: int | None
    crashes: int = 0
    behind: int = 0
    partitions: int = 1


@dataclass(frozen=True, slots=True)
class LogEvent:
    """A record about the job that was found in the log. `disposition`: of a result."""

    kind: str
    at: datetime
    run: int
    attempt: int
    coordinates: Coordinates
    disposition: str = ""


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """A worker of the processor. `member`: Kafka counts it in the group. `owner`: it owns the request's partition.

    `answered`: it answered a health request; the fields after it are from that answer. `circuit`: closed, testing, open or
    probing.
    """

    worker_id: str
    member: bool = False
    owner: bool = False
    answered: bool = False
    ready: bool = False
    reasons: Sequence[str] = ()
    circuit: str = "closed"
    circuit_since: str = ""
    circuit_reason: str = ""
    versions: Mapping[str, float] = field(default_factory=dict)
    in_flight: int = 0
    paused: bool = False

    @property
    def circuit_open(self) -> bool:
        return self.circuit in ("open", "probing")


@dataclass(frozen=True, slots=True)
class ServiceSeen:
    """A service by its health answer. `role`: a timekeeper's. `fault`: why it could not be asked."""

    ready: bool | None
    reasons: Sequence[str] = ()
    role: str | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """`now`: on the database's clock if it answered. `run`: the run that was asked for, None for the current one.

    `accepted`: the request is committed in Postgres (`payloads`). `found`: records about the job by a search of the log, made
    only where the store does not have them. `searched`: False if the search was given up before it reached the log's end.
    `members_known`: the group's members were read. `workers`: of the processor. `shares`: versions of the processor with their
    percentage of the jobs, the default first. `sink_behind`: records of its topics that the sink has not stored. `last_error`:
    of the last attempt that is retried. `later_run`: the current run, if an earlier one was asked for.
    """

    job_id: str
    now: datetime
    run: int | None = None
    view: JobView | None = None
    accepted: bool = False
    header: JobHeader | None = None
    processor: str | None = None
    custody: Custody = Custody.OFFSET
    command: ProcessorView | None = None
    place: LogPlace | None = None
    found: Sequence[LogEvent] = ()
    searched: bool = True
    workers: Sequence[WorkerSeen] = ()
    members_known: bool = False
    lease: LeaseView | None = None
    timekeepers: Sequence[ServiceSeen] = ()
    overdue: Sequence[OverdueView] = ()
    sinks: Sequence[ServiceSeen] = ()
    sink_behind: int | None = None
    destinations: Sequence[DestinationView] = ()
    pace: Pace | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    last_error: ErrorInfo | None = None
    later_run: RunState | None = None
    missing: Sequence[Missing] = ()

    @property
    def paused(self) -> bool:
        """True if no job of the processor starts until it is resumed."""
        return self.command is not None and self.command.paused

    def lacks(self, source: Dependency) -> bool:
        return any(each.dependency is source for each in self.missing)
