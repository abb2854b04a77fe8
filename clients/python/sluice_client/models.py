"""Records that the client returns. All are frozen; times have a zone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from sluice_client.errors import JobFailed

#: States after which a job does not change.
ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED", "EXPIRED"})


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed. `code` is one of the codes in docs/job_states.md, such as TIMEOUT_ERROR."""

    code: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """Jobs before this one, and an estimate of when it starts and ends, in seconds from now; None where it is not known."""

    position: int | None = None
    estimated_start_s: float | None = None
    estimated_end_s: float | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the gateway shows it."""

    job_id: str
    processor: str
    state: str
    run: int = 0
    tenant: str = ""
    attempt: int = 1
    stage: str | None = None
    percent: float | None = None
    message: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    finished_at: datetime | None = None
    deadline: datetime | None = None
    external_id: str | None = None
    case_id: str | None = None
    upload_id: str | None = None
    batch_id: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    error: JobError | None = None
    queue: QueuePlace | None = None

    @property
    def ended(self) -> bool:
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class Page:
    """A page of jobs, and where the next one starts."""

    items: tuple[Job, ...]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class File:
    """A file of a result; `Client.download` fetches it."""

    name: str
    sha256: str
    size: int
    href: str
    content_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Result:
    """How a job ended: its output, or its error."""

    job_id: str
    status: str
    run: int = 0
    processor: str = ""
    output: Mapping[str, Any] | None = None
    error: JobError | None = None
    model_version: str | None = None
    device: str | None = None
    files: tuple[File, ...] = ()

    @property
    def succeeded(self) -> bool:
        return self.status == "COMPLETED"

    def output_or_raise(self) -> Mapping[str, Any]:
        """Return the output. Raises JobFailed if the job failed, was cancelled or has expired."""
        if self.succeeded:
            return self.output or {}
        code = self.error.code if self.error else self.status
        message = self.error.message if self.error else ""
        raise JobFailed(f"Job {self.job_id} is {self.status}: {code}. {message}".rstrip(), self.status, code)


@dataclass(frozen=True, slots=True)
class Batch:
    """Jobs that were submitted together. `counts`: jobs by state. `job_ids` only after the submit."""

    batch_id: str
    processor: str
    total: int
    counts: Mapping[str, int] = field(default_factory=dict)
    ended: int = 0
    done: bool = False
    created_at: datetime | None = None
    finished_at: datetime | None = None
    job_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim check: stored bytes, named by their hash. A field of a job's input takes it as it is."""

    uri: str
    sha256: str
    size: int
    content_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Upload:
    """A stored file. Put `claim` into the input of a job."""

    upload_id: str
    claim: Claim
    filename: str | None = None
    kind: str | None = None
    case_id: str | None = None
    created_at: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProcessorInfo:
    """A processor that takes jobs. `workers` is None where the number is not known."""

    name: str
    custody: str = "offset"
    paused: bool = False
    workers: int | None = None
    #: Open jobs by state.
    open: Mapping[str, int] = field(default_factory=dict)
    input_schema: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StateEvent:
    """A job has entered a state. `id` of each event is the place to resume after it."""

    id: str
    job: Job

    @property
    def job_id(self) -> str:
        return self.job.job_id


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """A job says how far it is."""

    id: str
    job_id: str
    run: int = 0
    attempt: int = 1
    execution: int = 1
    stage: str | None = None
    percent: float | None = None
    message: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TextEvent:
    """A piece of the text that a language model writes. `restarted`: the job began again, so discard earlier pieces."""

    id: str
    job_id: str
    text: str
    run: int = 0
    attempt: int = 1
    execution: int = 1
    restarted: bool = False


@dataclass(frozen=True, slots=True)
class OutcomeEvent:
    """A job's final word; the last event of the job."""

    id: str
    result: Result

    @property
    def job_id(self) -> str:
        return self.result.job_id


Event: TypeAlias = StateEvent | ProgressEvent | TextEvent | OutcomeEvent
