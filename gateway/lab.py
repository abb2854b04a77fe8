"""`/v1/lab`: leases, results and files for machines that reach nothing but the gateway. Scope `work`."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, StrictBool, StrictFloat, StrictInt, StringConstraints

from connectors.gateway_client.wire import answer_to_json, grant_to_json, to_bytes
from connectors.lease_store import Hold
from gateway.lab_claims import Claim
from gateway.lab_results import HandIn
from gateway.lab_service import Worker
from gateway.ports import P
from gateway.principal import CanWork
from schemas.errors import InvalidInput

#: Not in the OpenAPI document: it is between a gateway and workers of the same version (`wire.PROTOCOL`).
router = APIRouter(prefix="/v1/lab", tags=["Lab machines"], include_in_schema=False)

#: Longest wait of one claim, in seconds. Proxies cut idle requests off after a minute or less.
LONGEST_WAIT_S = 30.0
#: Longest lease, in seconds: a machine that vanishes keeps its job from others for so long.
LONGEST_LEASE_S = 3600.0
#: Most jobs of one claim, whose requests are up to 256 KiB each. A worker that wants more has them with its next claim.
MOST_JOBS = 64
#: A result fits into the log; this is its base64.
LONGEST_VALUE = 1_500_000

WorkerId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._~:-]{1,200}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,47}$")]
Count = Annotated[StrictInt, Field(ge=0, lt=2**31)]
Fence = Annotated[StrictInt, Field(ge=0, lt=2**63)]
LeaseS = Annotated[StrictFloat, Field(ge=0, le=LONGEST_LEASE_S, allow_inf_nan=False)]


class Join(BaseModel):
    processor: Name
    protocol: StrictInt
    version: Annotated[str, StringConstraints(max_length=50)] = ""


class ClaimLeases(BaseModel):
    processor: Name
    worker_id: WorkerId
    count: StrictInt = Field(1, ge=1, le=1000)
    lease_s: LeaseS
    executions: StrictInt = Field(3, ge=1, le=1000)
    wait_s: StrictFloat = Field(0.0, ge=0, le=LONGEST_WAIT_S, allow_inf_nan=False)


class Held(BaseModel):
    job_id: UUID
    run: Count
    fence: Fence

    def hold(self, execution: int = 1, crashes: int = 0) -> Hold:
        return Hold(str(self.job_id), self.run, self.fence, execution, crashes)


class CountedHold(Held):
    execution: StrictInt = Field(1, ge=1, lt=2**31)
    crashes: Count = 0


class Heartbeat(BaseModel):
    worker_id: WorkerId
    lease_s: LeaseS
    holds: list[CountedHold] = Field(max_length=1000)


class Release(Held):
    worker_id: WorkerId
    started: StrictBool


class Result(CountedHold):
    worker_id: WorkerId
    value: Annotated[str, StringConstraints(max_length=LONGEST_VALUE)] = ""
    dead_reason: Annotated[str, StringConstraints(pattern=r"^[A-Z_]{0,50}$")] = ""
    dead_message: Annotated[str, StringConstraints(max_length=1000)] = ""


class Schema(BaseModel):
    schema_: str = Field(alias="schema", max_length=1_000_000)


class ProgressRecords(BaseModel):
    worker_id: WorkerId
    records: list[Annotated[str, StringConstraints(max_length=100_000)]] = Field(max_length=100)


@router.get("")
async def about(principal: CanWork, ports: P) -> dict[str, Any]:
    """Answer a machine that looks whether it is let in."""
    return ports.lab.about()


@router.post("/join")
async def join(body: Join, principal: CanWork, ports: P) -> dict[str, Any]:
    """Return what a worker of a processor needs to know of this installation; refuse one that would not fit."""
    return await asyncio.to_thread(ports.lab.join, body.processor, body.protocol, body.version)


@router.post("/leases/claim")
async def claim(body: ClaimLeases, principal: CanWork, ports: P, request: Request) -> dict[str, Any]:
    """Claim jobs; wait for the first as long as `wait_s`."""
    lab = ports.lab
    lab.check_leased(body.processor)
    worker = lab.worker(principal, body.worker_id)
    asked = Claim(
        body.processor, worker.tenant, worker.owner, min(body.count, MOST_JOBS), body.lease_s, body.executions
    )
    grants = await lab.claim(asked, body.wait_s, _hung_up(request))
    return {"leases": [grant_to_json(grant) for grant in grants]}


@router.post("/leases/heartbeat")
async def heartbeat(body: Heartbeat, principal: CanWork, ports: P) -> dict[str, Any]:
    """Renew leases; the answer says which were lost and which jobs are to be cancelled."""
    owner = ports.lab.worker(principal, body.worker_id).owner
    holds = [each.hold(each.execution, each.crashes) for each in body.holds]
    return answer_to_json(await ports.lab.leases.call(lambda store: store.heartbeat(owner, holds, body.lease_s)))


@router.post("/leases/release")
async def release(body: Release, principal: CanWork, ports: P) -> dict[str, Any]:
    """Give a job back unfinished."""
    worker = ports.lab.worker(principal, body.worker_id)
    return {"released": await ports.lab.leases.call(partial(worker.release, body.hold(), body.started))}


@router.post("/results")
async def results(body: Result, principal: CanWork, ports: P) -> dict[str, Any]:
    """Publish a result once Kafka has confirmed it, and settle its lease."""
    worker: Worker = ports.lab.worker(principal, body.worker_id)
    hold = body.hold(body.execution, body.crashes)
    value = _decoded(body.value)
    given = HandIn(hold, worker.owner, body.worker_id, value, body.dead_reason, body.dead_message)
    return {"published": await ports.lab.hand_in(given)}


@router.post("/progress")
async def progress(body: ProgressRecords, principal: CanWork, ports: P) -> dict[str, Any]:
    """Publish progress of jobs that the worker holds; the rest is left out."""
    worker = ports.lab.worker(principal, body.worker_id)
    return {"published": await ports.lab.progress(worker.owner, body.worker_id, map(_decoded, body.records))}


@router.get("/registry/schemas/ids/{schema_id}")
async def schema(schema_id: int, principal: CanWork, ports: P) -> JSONResponse:
    """Answer as a schema registry: the schema with this id."""
    found = await asyncio.to_thread(ports.lab.schema, schema_id)
    return _as_registry({"schema": found} if found is not None else None, 40403)


@router.post("/registry/subjects/{subject}")
async def lookup(subject: str, body: Schema, principal: CanWork, ports: P) -> JSONResponse:
    """Answer as a schema registry: the id of this schema under a subject."""
    found = await asyncio.to_thread(ports.lab.schema_id, subject, body.schema_)
    return _as_registry({"id": found} if found is not None else None, 40403)


def _as_registry(answer: dict[str, Any] | None, missing: int) -> JSONResponse:
    """Answer as the Confluent API does, so that workers use the client that they use for a registry."""
    if answer is None:
        return JSONResponse({"error_code": missing, "message": "There is none."}, 404)
    return JSONResponse(answer)


def _decoded(text: str) -> bytes:
    try:
        return to_bytes(text)
    except ValueError as error:
        raise InvalidInput("A value is not base64.") from error


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
