"""`GET /v1/jobs/{job_id}/verification`: compares an outcome with its receipt, as `sluice verify` does."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from connectors.access_store import EVERY_TENANT
from connectors.views import JobView
from gateway.jobs import JobId, Run
from gateway.models import EXAMPLE_ID
from gateway.openapi import json_of, problems
from gateway.ports import P, Ports
from gateway.principal import CanOperate
from gateway.results import not_finished
from schemas.errors import NotFound
from schemas.states import TERMINAL, State
from streams import wiring
from streams.receipts.checks import Comparison, verified
from streams.receipts.verify import Verifier

router = APIRouter(prefix="/v1/jobs", tags=["Results"])


class ReceiptCheck(BaseModel):
    """`result`: ok, differs, or can't be checked. `detail`: what differs, or why it can't be checked; never a value."""

    name: str = Field(examples=["record"])
    result: str = Field(examples=["ok"])
    detail: str = Field(examples=["results.echo[4]@1207"])


class Verification(BaseModel):
    """`verified`: something was checked, and nothing differs."""

    job_id: str = Field(examples=[EXAMPLE_ID])
    run: int
    verified: bool
    checks: list[ReceiptCheck]


@router.get("/{job_id}/verification", response_model=Verification, responses=problems(404, 409))
async def verify(ports: P, principal: CanOperate, job_id: JobId, run: Run = None) -> Response:
    """Compare the outcome of a job that has ended with its receipt: its input, its record in the log, and its files.

    Reads every file of the job to hash it. A gateway has no models, so weights, code and a rerun are for `sluice verify`.
    """
    view = await ports.jobs.call(lambda store: store.job(job_id, run))
    if view is None or principal.tenant not in (view.tenant, EVERY_TENANT):
        raise NotFound("There is no such job.", next_step="Check its id; `GET /v1/jobs` lists your jobs.")
    if State(view.state) not in TERMINAL:
        raise not_finished(job_id, view.state)
    async with ports.verifying:
        made = await asyncio.to_thread(_compared, ports, view)
    checks = [ReceiptCheck(name=each.name, result=each.result.value, detail=each.detail) for each in made]
    return json_of(Verification(job_id=view.job_id, run=view.run, verified=verified(made), checks=checks))


def _compared(ports: Ports, view: JobView) -> list[Comparison]:
    with wiring.job_store(ports.settings) as jobs:
        with wiring.payload_store(ports.settings) as payloads:
            payload = payloads.payload(view.job_id, view.run)
        stored = None if payload is None else payload.value
        return list(Verifier(ports.settings, ports.codec, ports.objects, jobs, view, payload=stored).checks())
