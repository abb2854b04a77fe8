"""Views of jobs for the command line and the console."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from schemas.records import Claim, Coordinates, ErrorInfo


@dataclass(frozen=True, slots=True)
class JobRow:
    """A row of a job list: a job and its current run. `finished_at`: when its outcome was stored."""

    job_id: str
    run: int
    processor: str
    state: str
    attempt: int
    requested_at: datetime
    updated_at: datetime
    external_id: str | None
    error_code: str | None
    tenant: str = ""
    case_id: str | None = None
    batch_id: str | None = None
    model_version: str | None = None
    fingerprint: str | None = None
    error_message: str | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class JobGroup:
    """Jobs that are alike in the fields that are set. `example`: the id of one of them; `error_message`: that of one of them.
    `oldest` and `newest`: times of their requests."""

    jobs: int
    example: str
    oldest: datetime
    newest: datetime
    processor: str | None = None
    state: str | None = None
    error_code: str | None = None
    fingerprint: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job with one run, without its output, history and deliveries. `finished_at`: when its outcome was stored."""

    job_id: str
    run: int
    processor: str
    tenant: str
    lane: str
    state: str
    attempt: int
    stage: str | None
    percent: float | None
    message: str | None
    created_at: datetime
    updated_at: datetime
    deadline: datetime | None
    external_id: str | None
    case_id: str | None
    upload_id: str | None
    batch_id: str | None
    labels: dict[str, str]
    error_code: str | None
    error_message: str | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class TryView:
    """A try of a delivery. `error`: None if it was delivered."""

    n: int
    at: datetime
    status: int | None
    ms: float
    error: str | None


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """A callback of a run, pending or ended. `due_at`: time of its next try while its state is pending."""

    delivery_id: str
    run: int
    kind: str
    destination: str
    state: str
    due_at: datetime | None
    ended_at: datetime | None
    tries: list[TryView] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """An event of a job, with the coordinates of its record. `reason`: why it was superseded, if that is not obvious."""

    at: datetime
    kind: str
    run: int
    attempt: int
    coordinates: Coordinates
    reason: str | None


@dataclass(frozen=True, slots=True)
class CancelView:
    """A request to cancel a run. `requested_at` is on the clock of the requester."""

    requested_at: datetime
    requested_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunState:
    """State of one run of a job."""

    job_id: str
    run: int
    processor: str
    state: str


@dataclass(frozen=True, slots=True)
class AcknowledgementView:
    """A worker's last acknowledgement of a processor's command. `action`: paused or resumed."""

    worker_id: str
    action: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ProcessorView:
    """A processor with its last command. `action`: pause, resume, or None if there never was a command. `acknowledgements`: of
    the workers that follow it. `jobs`: number of jobs in each state, without ended ones."""

    name: str
    action: str | None
    requested_at: datetime | None
    requested_by: str | None
    reason: str | None
    acknowledgements: list[AcknowledgementView]
    jobs: dict[str, int]

    @property
    def paused(self) -> bool:
        return self.action == "pause"


@dataclass(frozen=True, slots=True)
class Receipt:
    """Receipt of an outcome: which input, model and code, and on which device. None: the result does not say, as for a run that
    no worker ran. `reused_from`: key (job:run) of the outcome whose output was reused; None if the job ran."""

    input_sha256: str | None
    model_version: str | None
    model_sha256: str | None
    code_version: str | None
    device: str | None
    reused_from: str | None


@dataclass(frozen=True, slots=True)
class JobView:
    """A job with one run (by default the current one). `due_at`, `due_kind`: when and why the timekeeper acts on the run.
    `receipt`: None before the run has ended."""

    job_id: str
    run: int
    state: str
    processor: str
    tenant: str
    mode: str
    lane: str
    attempt: int
    execution: int
    owner: str | None
    stage: str | None
    percent: float | None
    message: str | None
    due_at: datetime | None
    due_kind: str | None
    deadline: datetime | None
    external_id: str | None
    case_id: str | None
    upload_id: str | None
    batch_id: str | None
    callback_url: str | None
    labels: dict[str, str]
    input_sha256: str
    requested_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    decided_at: datetime | None
    run_ms: float | None
    device: str | None
    device_note: str | None  # why `auto` did not choose its first preference
    model_version: str | None
    output: Any
    error: ErrorInfo | None
    refs: list[Claim]
    request: Coordinates | None
    result: Coordinates | None
    deliveries: list[DeliveryView]
    history: list[HistoryLine]
    cancel: CancelView | None = None
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True)
class OverdueView:
    """Runs whose due time passed long ago, by kind (retry, not_before, deadline). `oldest_s`: seconds of the longest wait.

    A leading timekeeper handles a due run within a second, so these wait because none leads or it can't do its work.
    """

    kind: str
    jobs: int
    oldest_s: float


@dataclass(frozen=True, slots=True)
class OpenJobs:
    """Number of jobs of a tenant, processor and lane that have not ended, in one state. A job that was accepted and not read
    yet is PENDING; a PENDING one that must not start yet is DELAYED here."""

    tenant: str
    processor: str
    lane: str
    state: str
    jobs: int


@dataclass(frozen=True, slots=True)
class EndedJobs:
    """Runs of a processor that ended in some time. `run_s`: sum of their run times, of `timed` runs that have one."""

    processor: str
    jobs: int
    timed: int
    run_s: float


@dataclass(frozen=True, slots=True)
class Backlog:
    """Jobs that have not ended, and those that ended since a time. `at`: the store's time of this view."""

    at: datetime
    open: list[OpenJobs]
    ended: list[EndedJobs]
