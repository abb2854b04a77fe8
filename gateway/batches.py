"""`/v1/batches`: many jobs with one handle."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from connectors.batch_store import BatchView
from gateway.jobs import IdempotencyKey
from gateway.large_json import LargeJsonRoute
from gateway.models import EXAMPLE_ID, Batch, Cancel, SubmitBatch
from gateway.openapi import json_of, problems
from gateway.ports import P, Ports
from gateway.principal import CanCancel, CanRead, CanSubmit
from schemas.errors import NotFound

router = APIRouter(prefix="/v1/batches", tags=["Batches"], route_class=LargeJsonRoute)

BatchId = Annotated[str, Path(description="Id of a batch.", examples=[EXAMPLE_ID])]


@router.post(
    "",
    status_code=202,
    response_model=Batch,
    responses={
        200: {"model": Batch, "description": "The batch that was submitted with this key before."},
        **problems(409),
    },
)
async def submit(ports: P, principal: CanSubmit, body: SubmitBatch, idempotency_key: IdempotencyKey = None) -> Response:
    """Submit a batch: all of its jobs are accepted, or none."""
    found, job_ids, new = await ports.door.submit_batch(principal.tenant, body, idempotency_key)
    batch = Batch.of(found, job_ids)
    return json_of(batch, 202 if new else 200, {"Location": batch.links.self})


@router.get("/{batch_id}", response_model=Batch, responses=problems(404))
async def read(ports: P, principal: CanRead, batch_id: BatchId) -> Response:
    """Read a batch: how many of its jobs are in which state."""
    return json_of(Batch.of(await _found(ports, batch_id, principal.tenant)))


@router.post("/{batch_id}/cancel", status_code=202, response_model=Batch, responses=problems(404))
async def cancel(ports: P, principal: CanCancel, batch_id: BatchId, body: Cancel | None = None) -> Response:
    """Cancel the jobs of a batch that have not ended."""
    found = await _found(ports, batch_id, principal.tenant)
    runs = await ports.batches.call(lambda store: store.open_runs(batch_id, principal.tenant))
    await ports.cancel(runs, principal, body.reason if body else "")
    return json_of(Batch.of(found), 202)


async def _found(ports: Ports, batch_id: str, tenant: str) -> BatchView:
    found = await ports.batches.call(lambda store: store.batch(batch_id, tenant))
    if found is None:
        raise NotFound("There is no such batch.", next_step="Check its id.")
    return found
