"""`/v1/deliveries` and `/v1/destinations`: callbacks with their tries, sent again on request, and how their destinations do."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from connectors.access_store import EVERY_TENANT
from connectors.delivery_admin import DeliveryFilter, DeliveryRow, DestinationView, check_resendable
from connectors.views import TryView
from gateway.models import EXAMPLE_ID, EXAMPLE_TIME, Time
from gateway.openapi import json_of, problems
from gateway.paging import cursor_of, place_of
from gateway.ports import P, Ports
from gateway.principal import CanOperate, Principal
from schemas.errors import Conflict, NotFound

router = APIRouter(prefix="/v1", tags=["Deliveries"])

DeliveryId = Annotated[str, Path(description="Id of a delivery.", examples=[EXAMPLE_ID])]
StateName = Literal["pending", "delivered", "parked", "gone", "refused", "skipped", "superseded"]
_NEXT = "`GET /v1/deliveries` lists them."


class Try(BaseModel):
    """A try of a delivery. `error` is null if it was delivered."""

    n: int = Field(examples=[1])
    at: datetime = Field(examples=[EXAMPLE_TIME])
    status: int | None = Field(examples=[503], description="HTTP status of the answer; null without one.")
    ms: float = Field(examples=[12.5])
    error: str | None


class Delivery(BaseModel):
    """A callback. `job_id` of the kind `batch` is the batch's id. `tries` are left out of a list."""

    delivery_id: str = Field(examples=[EXAMPLE_ID])
    job_id: str = Field(examples=[EXAMPLE_ID])
    run: int
    kind: str = Field(examples=["outcome"], description="outcome, progress or batch")
    tenant: str
    destination: str = Field(examples=["https://backend.example/api/ai/callback/"])
    profile: str | None
    state: str = Field(examples=["parked"])
    tries_count: int
    due_at: datetime | None = Field(description="Time of the next try, while it is pending.")
    created_at: datetime = Field(examples=[EXAMPLE_TIME])
    ended_at: datetime | None
    last_status: int | None
    last_error: str | None
    tries: list[Try] | None = None

    @classmethod
    def of(cls, row: DeliveryRow, tries: list[TryView] | None = None) -> Self:
        fields = {name: getattr(row, name) for name in DeliveryRow.__slots__ if name != "tries"}
        shown = None if tries is None else [Try.model_validate(one, from_attributes=True) for one in tries]
        return cls(**fields, tries_count=row.tries, tries=shown)


class DeliveryPage(BaseModel):
    items: list[Delivery]
    next_cursor: str | None


class Destination(BaseModel):
    """A host and port that callbacks go to. `delivered` and `failed`: tries of the last 24 hours."""

    destination: str = Field(examples=["backend.example:443"])
    circuit: str = Field(examples=["closed"], description="closed, open or half-open")
    retry_at: datetime | None
    pending: int
    delivered: int
    failed: int
    success_rate: float | None = Field(examples=[0.98])
    last_error: str | None
    last_error_at: datetime | None

    @classmethod
    def of(cls, view: DestinationView) -> Self:
        return cls(**{name: getattr(view, name) for name in DestinationView.__slots__}, success_rate=view.success_rate)


class DestinationList(BaseModel):
    items: list[Destination]


@router.get("/deliveries", response_model=DeliveryPage)
async def list_deliveries(
    ports: P,
    principal: CanOperate,
    job_id: Annotated[str | None, Query(max_length=64)] = None,
    destination: Annotated[
        str | None,
        Query(max_length=300, pattern=r"^[^\x00]*$", description="host:port; a host alone means ports 80 and 443."),
    ] = None,
    state: Annotated[StateName | None, Query()] = None,
    after: Annotated[Time | None, Query(description="Only those that were created since then.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> Response:
    """List callbacks, newest first."""
    states = None if state is None else [state]
    wanted = DeliveryFilter(_tenant(principal), job_id, destination, states, after)
    place = place_of(cursor)
    found = await ports.deliveries.call(lambda store: store.find(wanted, limit + 1, place))
    page, more = found[:limit], len(found) > limit
    following = cursor_of(page[-1].created_at, page[-1].delivery_id) if more else None
    return json_of(DeliveryPage(items=[Delivery.of(row) for row in page], next_cursor=following))


@router.get("/deliveries/{delivery_id}", response_model=Delivery, responses=problems(404))
async def read_delivery(ports: P, principal: CanOperate, delivery_id: DeliveryId) -> Response:
    """Read a callback with its tries."""
    row, tries = await _found(ports, principal, delivery_id)
    return json_of(Delivery.of(row, tries))


@router.post("/deliveries/{delivery_id}/resend", status_code=202, response_model=Delivery, responses=problems(404, 409))
async def resend(ports: P, principal: CanOperate, delivery_id: DeliveryId) -> Response:
    """Send a callback again that has ended: a new series of tries, with the same `webhook-id`."""
    row, _ = await _found(ports, principal, delivery_id)
    check_resendable(row)
    wanted = DeliveryFilter(ids=[delivery_id])
    if not await ports.deliveries.call(lambda store: store.resend(wanted, None, 1)):
        raise Conflict("The delivery is still pending.", next_step="Its next try follows by itself.")
    row, tries = await _found(ports, principal, delivery_id)
    return json_of(Delivery.of(row, tries), 202)


@router.get("/destinations", response_model=DestinationList)
async def list_destinations(ports: P, principal: CanOperate) -> Response:
    """Show how the destinations of your callbacks do."""
    tenant = _tenant(principal)
    found = await ports.deliveries.call(lambda store: store.destinations(tenant))
    return json_of(DestinationList(items=[Destination.of(view) for view in found]))


async def _found(ports: Ports, principal: Principal, delivery_id: str) -> tuple[DeliveryRow, list[TryView]]:
    tenant = _tenant(principal)
    found = await ports.deliveries.call(lambda store: store.delivery(delivery_id, tenant))
    if found is None:
        raise NotFound("There is no such delivery.", next_step=_NEXT)
    return found


def _tenant(principal: Principal) -> str | None:
    """Return the tenant whose deliveries are meant; None for those of all."""
    return None if principal.tenant == EVERY_TENANT else principal.tenant
