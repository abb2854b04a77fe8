"""Bodies of requests and responses. Values are never repeated in errors: a query may be personal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictStr

from gateway.models import EXAMPLE_ID

#: A task whose id is unknown is pending, as in Celery.
STATES = Literal["pending", "progress", "success", "failure"]
#: Characters of a query or of a constraint, and constraints of a run, as the processor takes them.
LONGEST, MOST_CONSTRAINTS = 4000, 10


def _sentences(value: Any) -> Any:
    """Return constraints as a list: from a text, a list, or an object whose names and values make a text each."""
    if isinstance(value, str):
        return [value] if value.strip() else []
    if isinstance(value, Mapping):
        return [f"{name}: {_listed(one)}" for name, one in value.items() if one is not None]
    return value


def _listed(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(one, str | int | float) for one in value):
        return ", ".join(map(str, value))
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError("a value is a text, a number, a boolean, or a list of them")


def _says_something(value: str) -> str:
    if not value.strip():
        raise ValueError("the text is empty")
    return value


Query = Annotated[
    StrictStr, Field(min_length=1, max_length=LONGEST, pattern=r"^[^\x00]*$"), AfterValidator(_says_something)
]
_CONSTRAINTS_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "maxLength": LONGEST},
        {"type": "array", "items": {"type": "string", "maxLength": LONGEST}, "maxItems": MOST_CONSTRAINTS},
        {"type": "object", "maxProperties": MOST_CONSTRAINTS},
        {"type": "null"},
    ]
}


class ResearchTopic(BaseModel):
    """A topic, and sentences that narrow it: a text, a list of texts, or an object of names and values."""

    model_config = ConfigDict(
        extra="ignore",
        hide_input_in_errors=True,
        json_schema_extra={
            "examples": [{"topic": "How do consumer groups share partitions?", "constraints": ["Kafka only"]}]
        },
    )

    topic: Query = Field(description="Korean or English.")
    constraints: (
        Annotated[
            list[Query],
            Field(max_length=MOST_CONSTRAINTS, json_schema_extra=_CONSTRAINTS_SCHEMA),
            BeforeValidator(_sentences),
        ]
        | None
    ) = None


class ResearchQuery(BaseModel):
    model_config = ConfigDict(
        extra="ignore",
        hide_input_in_errors=True,
        json_schema_extra={"examples": [{"query": "서울 지하철은 언제 개통되었나요?"}]},
    )

    query: Query = Field(description="Korean or English.")


class AcceptedTask(BaseModel):
    task_id: str = Field(examples=[EXAMPLE_ID])
    status: Literal["processing"]
    message: str


class QuotedSource(BaseModel):
    """A local document that the report quotes. `number`: as it is cited. `sha256`: of the file as it was read."""

    number: int
    name: str
    title: str
    sha256: str


class ResearchResult(BaseModel):
    """The first four fields are those of the old result. `source`: extractive, llm or fallback; `model` wrote the report.

    `found` is false if no document has anything about the query; the report then says so.
    """

    status: str = Field(examples=["completed"])
    report: str = Field(description="Markdown.")
    session_id: str
    query: str
    language: str = Field(examples=["ko"])
    source: str = Field(examples=["extractive"])
    model: str
    fallback_reason: str | None = Field(None, description="Why the language model was not used to the end.")
    found: bool
    documents: int = Field(description="Documents that were searched.")
    sources: list[QuotedSource]
    notes: list[str]


class ResearchTask(BaseModel):
    """`message`: of a running task the stage's text, such as "Running research...". `result` is present only after success,
    `error` only after a failure."""

    task_id: str = Field(examples=[EXAMPLE_ID])
    status: STATES
    message: str | None = Field(None, description="Absent once the task has ended.")
    progress: float | None = Field(None, description="Percent of a running task, if it is known.")
    result: ResearchResult | None = Field(None, description="Absent unless the task succeeded.")
    error: str | None = Field(None, description="Absent unless the task failed.")
    error_code: str | None = Field(None, description="Absent unless the task failed.", examples=["TIMEOUT_ERROR"])


class WorkerHealth(BaseModel):
    status: Literal["ok"]
    message: Literal["Celery worker is running"]


class NoWorker(BaseModel):
    """`detail` repeats `message` for clients that read FastAPI's errors."""

    status: Literal["error"]
    message: str
    detail: str
