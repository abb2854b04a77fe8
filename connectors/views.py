"""Jobs as people look at them: what the command line and the console show."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from schemas.records import Claim, Coordinates, ErrorInfo


@dataclass(frozen=True, slots=True)
class JobRow:
    """One line of a list: a job and its current run."""

    job_id: str
    run: int
    processor: str
    state: str
    attempt: int
    requested_at: datetime
    updated_at: datetime
    external_id: str | None
    error_code: str | None


@dataclass(frozen=True, slots=True)
class TryView:
    """One try of a delivery. `error` is None when it was delivered."""

    n: int
    at: datetime
    status: int | None
    ms: float
    error: str | None


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """A callback that is or was owed. `due_at`: when it is tried again, while its state is pending."""

    delivery_id: str
    kind: str
    destination: str
    state: str
    due_at: datetime | None
    ended_at: datetime | None
    tries: list[TryView] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One record that was read of a job. `reason` says why it was superseded, where that is not plain."""

    at: datetime
    kind: str
    run: int
    attempt: int
    coordinates: Coordinates
    reason: str | None


@dataclass(frozen=True, slots=True)
class CancelView:
    """That somebody asked for a run to stop. `requested_at` is the asker's clock."""

    requested_at: datetime
    requested_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunState:
    """Where one run of a job stands, and nothing else of it."""

    job_id: str
    run: int
    processor: str
    state: str


@dataclass(frozen=True, slots=True)
class AcknowledgementView:
    """A worker's last answer to a processor's orders: it has `action` (paused or resumed)."""

    worker_id: str
    action: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ProcessorView:
    """A processor as it was ordered to be. `action` is the last order: pause, resume, or None when there never was one.
    `acknowledgements`: the workers that said they obey it. `jobs`: how many stand in each state, ended ones left out."""

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
class JobView:
    """A job in full, by its current run. `due_at` and `due_kind`: what it waits for, while it waits."""

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
    device_note: str | None  # why it is not the one that `auto` would have taken
    model_version: str | None
    output: Any
    error: ErrorInfo | None
    refs: list[Claim]
    request: Coordinates | None
    result: Coordinates | None
    deliveries: list[DeliveryView]
    history: list[HistoryLine]
    cancel: CancelView | None = None
