"""`GET /v1/jobs/{job_id}/explanation`: why a job is not done yet, or how it ended, and what happens next."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from connectors.access_store import EVERY_TENANT
from gateway.deliveries import Try
from gateway.jobs import JobId, Run
from gateway.models import EXAMPLE_ID, EXAMPLE_TIME
from gateway.openapi import json_of, problems
from gateway.ports import P, Ports
from gateway.principal import Principal, scope
from schemas.errors import NotFound, Unreachable
from schemas.ids import is_job_id
from streams.explain.collect import collect
from streams.explain.explain import Explanation as Explained
from streams.explain.explain import JobEvent, explain
from streams.explain.snapshot import JobSnapshot

router = APIRouter(prefix="/v1/jobs", tags=["Jobs"])

CanExplain = Annotated[Principal, Depends(scope("read", "operate"))]
_UNKNOWN = NotFound("There is no such job.", next_step="Check its id; `GET /v1/jobs` lists your jobs.")


class Reason(BaseModel):
    """`code` is for programs, `text` for people."""

    code: str = Field(examples=["paused"])
    text: str = Field(examples=["The processor echo is paused since 09:30:00 UTC (5 min ago)."])


class NextStep(BaseModel):
    """An action that helps. `command`: for an operator's shell; `request`: over HTTP. Both null: advice only."""

    text: str = Field(examples=["Cancel it"])
    command: str | None = Field(examples=["sluice resume echo"])
    request: str | None = Field(examples=[f"POST /v1/jobs/{EXAMPLE_ID}/cancel"])


class Place(BaseModel):
    topic: str = Field(examples=["requests.echo"])
    partition: int
    offset: int


class Record(BaseModel):
    """A record about the job. `place`: in the log; null without the scope `operate`. `stored`: False if only the log has it."""

    at: datetime = Field(examples=[EXAMPLE_TIME])
    kind: str = Field(examples=["request"])
    run: int
    attempt: int
    place: Place | None
    note: str
    stored: bool

    @classmethod
    def of(cls, event: JobEvent) -> Self:
        where = event.where
        place = None if where is None else Place(topic=where.topic, partition=where.partition, offset=where.offset)
        names = ("at", "kind", "run", "attempt", "note", "stored")
        return cls(**{name: getattr(event, name) for name in names}, place=place)


class Estimate(BaseModel):
    """Seconds from `at`, by the jobs of the last minute; null where nothing supports a number."""

    start_s: float | None
    end_s: float | None
    ahead: int = Field(description="Jobs that start before it, as far as is known.")


class JobDelivery(BaseModel):
    """A callback of the job, with every try."""

    delivery_id: str = Field(examples=[EXAMPLE_ID])
    run: int = Field(description="Run whose callback it is.")
    kind: str = Field(examples=["outcome"])
    destination: str
    state: str = Field(examples=["pending"])
    due_at: datetime | None
    ended_at: datetime | None
    tries: list[Try]


class Explanation(BaseModel):
    """`situation`: the code of the first reason. `unknown`: what could not be found out, because something did not answer."""

    job_id: str = Field(examples=[EXAMPLE_ID])
    run: int | None
    state: str = Field(examples=["PENDING"])
    at: datetime = Field(examples=[EXAMPLE_TIME])
    situation: str = Field(examples=["paused"])
    headline: str
    reasons: list[Reason]
    next: str
    steps: list[NextStep]
    estimate: Estimate | None
    events: list[Record]
    deliveries: list[JobDelivery]
    unknown: list[str]

    @classmethod
    def of(cls, found: Explained) -> Self:
        plain = {
            name: getattr(found, name) for name in ("job_id", "run", "state", "at", "situation", "headline", "next")
        }
        estimate = found.estimate
        return cls(
            **plain,
            reasons=[Reason(code=each.code, text=each.text) for each in found.reasons],
            steps=[NextStep.model_validate(each, from_attributes=True) for each in found.steps],
            estimate=None if estimate is None else Estimate.model_validate(estimate, from_attributes=True),
            events=[Record.of(event) for event in found.events],
            deliveries=[JobDelivery.model_validate(each, from_attributes=True) for each in found.deliveries],
            unknown=list(found.unknown),
        )


@router.get("/{job_id}/explanation", response_model=Explanation, responses=problems(404))
async def read_explanation(ports: P, principal: CanExplain, job_id: JobId, run: Run = None) -> Response:
    """Say why a job is not done yet, or how it ended, and what happens next.

    Works as far as it can while a dependency is away: `unknown` says what is missing. Places in the log, ids of workers and
    leases are shown with the scope `operate` only.
    """
    if not is_job_id(job_id):
        raise _UNKNOWN
    tenant = None if principal.tenant == EVERY_TENANT else principal.tenant
    if tenant is not None:
        await _check_owner(ports, job_id, tenant, run)
    async with ports.explaining:
        snapshot = await asyncio.to_thread(collect, ports.settings, job_id, run)
    found = explain(snapshot, operator="operate" in principal.scopes)
    if found.situation == "no_such_job" or (tenant is not None and _tenant(snapshot) not in (None, tenant)):
        raise _UNKNOWN
    if tenant is not None and _tenant(snapshot) is None:
        raise Unreachable("Postgres did not answer, so it is not known whose job this is.", next_step="Try again.")
    return json_of(Explanation.of(found))


async def _check_owner(ports: Ports, job_id: str, tenant: str, run: int | None) -> None:
    """Raise NotFound for another tenant's job. While the store is away nothing is decided here: the log may know."""
    try:
        await ports.reader.status(job_id, tenant, run)
    except Unreachable:
        return


def _tenant(snapshot: JobSnapshot) -> str | None:
    """Return whose job it is, by the store or by the request; None if neither answered."""
    if snapshot.view is not None:
        return snapshot.view.tenant
    return None if snapshot.header is None else snapshot.header.tenant
