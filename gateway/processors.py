"""`GET /v1/processors`: what can be submitted, with the JSON schema of each input."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from gateway.json_schema import input_schema
from gateway.openapi import json_of
from gateway.ports import P
from gateway.principal import CanRead
from schemas.contract import contract
from schemas.states import State

router = APIRouter(prefix="/v1/processors", tags=["Processors"])


class Processor(BaseModel):
    """`workers`: that run now; null if it is not known. `open`: your jobs that have not ended, by state."""

    name: str = Field(examples=["echo"])
    custody: str = Field(examples=["offset"], description="offset: workers read a topic. lease: workers claim jobs.")
    paused: bool
    workers: int | None
    open: dict[str, int]
    input_schema: dict[str, Any]


class Processors(BaseModel):
    items: list[Processor]


@router.get("", response_model=Processors)
async def processors(ports: P, principal: CanRead) -> Response:
    """List the processors of this installation."""
    queues, settings = ports.admission.queues, ports.settings
    items = []
    for name in settings.served_processors:
        made = contract(name)
        items.append(
            Processor(
                name=name,
                custody=settings.custody(made).value,
                paused=queues.paused(name),
                workers=queues.workers(name),
                open={State(state).value: count for state, count in queues.open(principal.tenant, name).items()},
                input_schema=input_schema(made),
            )
        )
    return json_of(Processors(items=items))
