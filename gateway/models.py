"""Bodies of requests and responses about jobs and batches. Values are never repeated in errors: they may be a patient's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr

from connectors.batch_store import BatchView
from connectors.views import JobStatus
from schemas.contract import NAME
from schemas.errors import InvalidInput
from schemas.records import JobHeader
from schemas.states import TERMINAL, State
from streams.client.job_options import (
    LARGEST_NUMBER,
    LONGEST_ID,
    LONGEST_LABEL,
    LONGEST_URL,
    MOST_LABELS,
    describe,
)

#: Most inputs of one batch.
LARGEST_BATCH = 10_000
#: A deadline further ahead is refused.
LONGEST_DEADLINE = timedelta(days=3650)
MOST_ATTEMPTS = 100
EXAMPLE_ID = "019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10"
EXAMPLE_TIME = "2026-11-28T09:30:00Z"


_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def _text_only(value: object) -> object:
    if value is not None and not (isinstance(value, str) and _RFC_3339.fullmatch(value)):
        raise ValueError("a time is a text in RFC 3339, such as 2026-11-28T09:30:00Z")
    return value


def _in_years_1_to_9999(value: datetime) -> datetime:
    """Refuse a time whose offset takes it out of the calendar in UTC."""
    try:
        value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a time is in the years 1 to 9999 in UTC") from error
    return value


Time = Annotated[
    AwareDatetime,
    BeforeValidator(_text_only, json_schema_input_type=AwareDatetime),
    AfterValidator(_in_years_1_to_9999),
]
Id = Annotated[StrictStr, Field(max_length=LONGEST_ID)]
Processor = Annotated[
    StrictStr, Field(pattern=f"^{NAME.pattern}$", description="Name of the processor.", examples=["echo"])
]
Input = dict[str, Any]
Url = Annotated[StrictStr, Field(max_length=LONGEST_URL, examples=["https://backend.example/api/ai/callback/"])]
Milliseconds = Annotated[StrictInt, Field(ge=1, le=LARGEST_NUMBER)]
Labels = Annotated[
    dict[Annotated[str, Field(max_length=LONGEST_ID)], Annotated[StrictStr, Field(max_length=LONGEST_LABEL)]],
    Field(max_length=MOST_LABELS),
]
StateName = Literal["PENDING", "PROCESSING", "RETRYING", "COMPLETED", "FAILED", "CANCELLED", "EXPIRED"]


def _option(name: str, **more: Any) -> Any:
    return Field(None, description=describe(name), **more)


class _Options(BaseModel):
    """Options of a job, all optional."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    callback_url: Url | None = _option("callback_url")
    callback_profile: Id | None = _option("callback_profile")
    lane: Literal["live", "bulk"] | None = _option("lane")
    deadline: Time | None = _option("deadline")
    not_before: Time | None = _option("not_before")
    case_id: Id | None = _option("case_id")
    model_version: Id | None = _option("model_version")
    labels: Labels | None = _option("labels")
    max_attempts: Annotated[StrictInt, Field(ge=1, le=MOST_ATTEMPTS)] | None = _option("max_attempts")
    soft_limit_ms: Milliseconds | None = _option("soft_limit_ms")
    hard_limit_ms: Milliseconds | None = _option("hard_limit_ms")

    def options(self, *left_out: str) -> dict[str, Any]:
        """Return the options that are given, as keywords of a submit. Raises InvalidInput for a deadline that can't be used."""
        now = datetime.now(UTC)
        if self.deadline is not None and not now < self.deadline < now + LONGEST_DEADLINE:
            raise InvalidInput(
                "The deadline has passed, or is more than ten years ahead.", next_step="Give a later one, or none."
            )
        given = {name: getattr(self, name) for name in type(self).model_fields if name not in left_out}
        return {name: value for name, value in given.items() if value is not None}


class SubmitJob(_Options):
    processor: Processor
    input: Input = Field(description="Fields of the processor's input: see `input_schema` of `GET /v1/processors`.")
    external_id: Id | None = _option("external_id")
    upload_id: Id | None = _option("upload_id")
    order_key: Id | None = _option("order_key")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"processor": "echo", "input": {"message": "hello"}, "external_id": "order-7", "labels": {"ward": "3"}}
            ]
        }
    )


class SubmitBatch(_Options):
    """`callback_url` gets the batch's final callback, `job_callback_url` the outcome of each job."""

    processor: Processor
    inputs: list[Input] = Field(min_length=1, max_length=LARGEST_BATCH)
    job_callback_url: Url | None = _option("callback_url")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"processor": "echo", "inputs": [{"message": "one"}, {"message": "two"}], "case_id": "case-7"}]
        }
    )


class Cancel(BaseModel):
    model_config = ConfigDict(
        extra="forbid", hide_input_in_errors=True, json_schema_extra={"examples": [{"reason": "wrong series"}]}
    )

    reason: Annotated[StrictStr, Field(max_length=500)] = Field("", description="Why; shown with the job.")


class JobError(BaseModel):
    code: str = Field(examples=["INVALID_INPUT"])
    message: str


class Queue(BaseModel):
    """Of a job that waits. Null: not known."""

    position: int | None = Field(description="Jobs that run before this one, at the last count.")
    estimated_start_s: float | None = Field(description="Seconds until it starts, at the rate of the last minutes.")
    estimated_end_s: float | None


class Links(BaseModel):
    self: str
    events: str
    result: str
    cancel: str


class Job(BaseModel):
    """A job with one run. `finished_at`: when its outcome was stored."""

    job_id: str = Field(examples=[EXAMPLE_ID])
    run: int
    processor: str = Field(examples=["echo"])
    tenant: str
    state: str = Field(examples=["PENDING"], description="PENDING, PROCESSING, RETRYING, or how it ended.")
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
    error: JobError | None
    finished_at: datetime | None
    queue: Queue | None = None
    links: Links

    @classmethod
    def of(cls, status: JobStatus, queue: Queue | None = None) -> Self:
        path = f"/v1/jobs/{status.job_id}"
        return cls(
            **{name: getattr(status, name) for name in _SAME},
            error=None
            if status.error_code is None
            else JobError(code=status.error_code, message=status.error_message or ""),
            queue=queue,
            links=Links(self=path, events=f"{path}/events", result=f"{path}/result", cancel=f"{path}/cancel"),
        )


_SAME = [name for name in Job.model_fields if name not in ("error", "queue", "links")]


class JobPage(BaseModel):
    items: list[Job]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last page.")


class BatchLinks(BaseModel):
    self: str
    jobs: str
    events: str
    cancel: str


class Batch(BaseModel):
    """`counts`: jobs by state. `ended`: jobs that have ended. `finished_at`: when the last one did, null before."""

    batch_id: str = Field(examples=[EXAMPLE_ID])
    processor: str = Field(examples=["echo"])
    total: int
    counts: dict[str, int] = Field(examples=[{"COMPLETED": 3, "PENDING": 7}])
    ended: int
    done: bool
    created_at: datetime
    finished_at: datetime | None
    job_ids: list[str] | None = Field(None, description="In the order of the inputs; only in the answer to the submit.")
    links: BatchLinks

    @classmethod
    def of(cls, batch: BatchView, job_ids: list[str] | None = None) -> Self:
        ended = sum(count for state, count in batch.counts.items() if State(state) in TERMINAL)
        done = batch.ended_at is not None or ended >= batch.total
        path = f"/v1/batches/{batch.batch_id}"
        return cls(
            batch_id=batch.batch_id,
            processor=batch.processor,
            total=batch.total,
            counts=batch.counts,
            ended=batch.total if done else ended,
            done=done,
            created_at=batch.created_at,
            finished_at=(batch.ended_at or batch.decided_at) if done else None,
            job_ids=job_ids,
            links=BatchLinks(
                self=path,
                jobs=f"/v1/jobs?batch_id={batch.batch_id}",
                events=f"/v1/events?batch_id={batch.batch_id}",
                cancel=f"{path}/cancel",
            ),
        )


def pending(header: JobHeader) -> JobStatus:
    """Return the status of a job that was accepted and that the sink has not read yet."""
    return JobStatus(
        job_id=header.job_id,
        run=header.run,
        processor=header.processor,
        tenant=header.tenant,
        lane=header.lane,
        state=State.PENDING,
        attempt=header.attempt,
        stage=None,
        percent=None,
        message=None,
        created_at=header.created_at,
        updated_at=header.created_at,
        deadline=header.deadline,
        external_id=header.external_id,
        case_id=header.case_id,
        upload_id=header.upload_id,
        batch_id=header.batch_id,
        labels=dict(header.labels),
        error_code=None,
        error_message=None,
        finished_at=None,
    )


def problem_example(**more: Any) -> Mapping[str, Any]:
    return {
        "type": "urn:sluice:problem:not-found",
        "title": "Not found",
        "status": 404,
        "detail": "There is no such job.",
        "code": "NOT_FOUND",
        "next_step": None,
        **more,
    }
