"""`/v1/replays`: jobs run again, counted first, watched, paused, resumed and cancelled."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt

from connectors.access_store import EVERY_TENANT
from connectors.replay_store import (
    FASTEST,
    MOST_OPERATIONS,
    SLOWEST,
    Replay,
    ReplayFilter,
    ReplayGroup,
    ReplayJob,
    checked_action,
)
from gateway.models import EXAMPLE_ID, EXAMPLE_TIME, Time
from gateway.openapi import json_of, problems
from gateway.paging import cursor_of, place_of
from gateway.ports import P, Ports
from gateway.principal import CanOperate, Principal
from schemas.errors import NotFound
from streams import wiring
from streams.replay.dry_run import DryRun, dry_run
from streams.replay.selection import checked_filter, described
from streams.replay.start import ReplayOptions, new_replay

router = APIRouter(prefix="/v1/replays", tags=["Replays"])

ReplayId = Annotated[str, Path(description="Id of a replay.", examples=[EXAMPLE_ID])]
Text = Annotated[str | None, Field(max_length=512, pattern=r"^[^\x00]*$")]
StatusName = Literal["COMPLETED", "FAILED", "CANCELLED", "EXPIRED"]
_NEXT = "`GET /v1/replays` lists them."


class ReplayRequest(BaseModel):
    """Which jobs, and how they run again. All conditions must hold. Without `states` those that failed, unless `job_ids` names
    the jobs. `since` and `until`: when a job's current run ended. `edit`: a JSON patch (RFC 6902) of each input,
    without copy and move."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"processor": "echo", "dry_run": True}})

    processor: Text = None
    states: list[StatusName] | None = Field(None, min_length=1, max_length=4)
    error_code: Text = Field(None, examples=["TIMEOUT_ERROR"])
    fingerprint: Text = None
    model_version: Text = None
    case_id: Text = None
    batch_id: Text = None
    since: Time | None = None
    until: Time | None = None
    job_ids: list[str] | None = Field(None, min_length=1, max_length=100_000)
    rate: StrictFloat | None = Field(100.0, ge=SLOWEST, le=FASTEST, description="Jobs a second; null: no limit.")
    max: StrictInt | None = Field(None, ge=1, le=2**31 - 1)
    reason: str = Field("", max_length=2000, pattern=r"^[^\x00]*$")
    force: StrictBool = Field(False, description="Also jobs that were replayed too often.")
    callbacks: str = Field("usual", max_length=2048, description="usual, none, or a URL instead of the job's.")
    edit: list[dict[str, Any]] | None = Field(None, max_length=MOST_OPERATIONS)
    deadline_s: StrictFloat | None = Field(
        None, gt=0, le=1e7, description="Time limit of each new run; null: none of its own."
    )
    dry_run: StrictBool = Field(False, description="Only count and check; change nothing.")

    def wanted(self) -> ReplayFilter:
        return checked_filter(ReplayFilter(**{name: getattr(self, name) for name in ReplayFilter.__slots__}))


class ReplayBody(BaseModel):
    """A replay. `total` jobs were selected; `outcomes`: the new runs by state, left out of a list."""

    replay_id: str = Field(examples=[EXAMPLE_ID])
    state: str = Field(examples=["running"], description="running, paused, done or cancelled")
    mode: str = Field(examples=["replay"], description="replay or shadow")
    to_version: str | None
    selection: dict[str, Any]
    requested_by: str
    reason: str
    callbacks: str = Field(examples=["usual"])
    rate: float | None
    total: int
    published: int
    waiting: int
    parked: int
    failed: int = Field(description="Rows that could not be published.")
    created_at: datetime = Field(examples=[EXAMPLE_TIME])
    ended_at: datetime | None
    outcomes: dict[str, int] | None = None

    @classmethod
    def of(cls, replay: Replay, outcomes: dict[str, int] | None = None) -> Self:
        fields = {name: getattr(replay, name) for name in cls.model_fields if name != "outcomes"}
        return cls(**fields, outcomes=outcomes)


class ReplayPage(BaseModel):
    items: list[ReplayBody]
    next_cursor: str | None


class ReplayRow(BaseModel):
    """A row of a replay. `run`: of the new run. `reason`: why it is parked or failed."""

    n: int
    job_id: str | None = Field(examples=[EXAMPLE_ID])
    from_run: int | None
    run: int | None
    state: str = Field(examples=["published"], description="waiting, published, parked or failed")
    reason: str | None
    published_at: datetime | None

    @classmethod
    def of(cls, row: ReplayJob) -> Self:
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


class ReplayRows(BaseModel):
    """`next_after`: for the next page; null on the last one."""

    items: list[ReplayRow]
    next_after: int | None


class CountedGroup(BaseModel):
    processor: str | None
    state: str | None
    error_code: str | None
    fingerprint: str | None
    parked: str | None = Field(description="Why these jobs would be parked; null if they would run.")
    jobs: int

    @classmethod
    def of(cls, group: ReplayGroup) -> Self:
        return cls(**{name: getattr(group, name) for name in cls.model_fields})


class RefusedBody(BaseModel):
    reason: str
    jobs: int


class DryRunBody(BaseModel):
    """`jobs` would be replayed, `parked` not. Counts are exact; bytes and seconds are estimated; `refused`: of the `checked`
    requests that were read, those that would fail."""

    jobs: int
    parked: int
    groups: list[CountedGroup]
    checked: int
    refused: list[RefusedBody]
    bytes: int
    device_s: float | None

    @classmethod
    def of(cls, found: DryRun) -> Self:
        return cls(
            jobs=found.jobs,
            parked=found.parked,
            groups=[CountedGroup.of(group) for group in found.groups],
            checked=found.checked,
            refused=[RefusedBody(reason=one.reason, jobs=one.jobs) for one in found.refused],
            bytes=found.bytes,
            device_s=found.device_s,
        )


@router.post(
    "",
    status_code=202,
    response_model=ReplayBody,
    responses={200: {"model": DryRunBody, "description": "The answer to a dry run."}, **problems(422)},
)
async def start_replay(ports: P, principal: CanOperate, body: ReplayRequest) -> Response:
    """Freeze a selection of your jobs and run them again, or with `dry_run` only count it. The timekeeper publishes them."""
    wanted = body.wanted()
    options = ReplayOptions(
        f"{principal.name or 'token'} of {principal.tenant}",
        body.reason,
        tenant=_tenant(principal),
        rate=body.rate,
        at_most=body.max,
        force=body.force,
        callbacks=body.callbacks,
        edit=body.edit,
        deadline_s=body.deadline_s,
    )
    new = new_replay(ports.settings, described(wanted), options)
    if not body.dry_run:
        return json_of(ReplayBody.of(await ports.replays.call(lambda store: store.start(new, wanted))), 202)

    def counted() -> DryRun:
        with wiring.replay_store(ports.settings) as store:
            return dry_run(ports.settings, store, new, wanted)

    return json_of(DryRunBody.of(await asyncio.to_thread(counted)))


@router.get("", response_model=ReplayPage)
async def list_replays(
    ports: P,
    principal: CanOperate,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> Response:
    """List replays, newest first."""
    tenant, place = _tenant(principal), place_of(cursor)
    found = await ports.replays.call(lambda store: store.replays(limit + 1, place, tenant))
    page, more = found[:limit], len(found) > limit
    following = cursor_of(page[-1].created_at, page[-1].replay_id) if more else None
    return json_of(ReplayPage(items=[ReplayBody.of(one) for one in page], next_cursor=following))


@router.get("/{replay_id}", response_model=ReplayBody, responses=problems(404))
async def read_replay(ports: P, principal: CanOperate, replay_id: ReplayId) -> Response:
    """Read a replay: its progress, and its new runs by state."""
    found = await _found(ports, principal, replay_id)
    outcomes = await ports.replays.call(lambda store: store.outcomes(replay_id))
    return json_of(ReplayBody.of(found, outcomes))


@router.get("/{replay_id}/jobs", response_model=ReplayRows, responses=problems(404))
async def list_rows(
    ports: P,
    principal: CanOperate,
    replay_id: ReplayId,
    state: Annotated[Literal["waiting", "published", "parked", "failed"] | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="`n` of the last row of the page before.")] = 0,
) -> Response:
    """List the rows of a replay in their order."""
    await _found(ports, principal, replay_id)
    rows = await ports.replays.call(lambda store: store.rows(replay_id, state, limit + 1, after))
    page = rows[:limit]
    following = page[-1].n if len(rows) > limit else None
    return json_of(ReplayRows(items=[ReplayRow.of(row) for row in page], next_after=following))


@router.post("/{replay_id}/pause", response_model=ReplayBody, responses=problems(404, 409))
async def pause_replay(ports: P, principal: CanOperate, replay_id: ReplayId) -> Response:
    """Pause a replay. Jobs that were published already run on."""
    return await _act(ports, principal, replay_id, "pause")


@router.post("/{replay_id}/resume", response_model=ReplayBody, responses=problems(404, 409))
async def resume_replay(ports: P, principal: CanOperate, replay_id: ReplayId) -> Response:
    """Resume a paused replay."""
    return await _act(ports, principal, replay_id, "resume")


@router.post("/{replay_id}/cancel", response_model=ReplayBody, responses=problems(404, 409))
async def cancel_replay(ports: P, principal: CanOperate, replay_id: ReplayId) -> Response:
    """Cancel a replay. Jobs that were published already run on."""
    return await _act(ports, principal, replay_id, "cancel")


async def _act(ports: Ports, principal: Principal, replay_id: str, action: str) -> Response:
    found = await _found(ports, principal, replay_id)
    after = await ports.replays.call(lambda store: checked_action(store, found, action))
    return json_of(ReplayBody.of(after))


async def _found(ports: Ports, principal: Principal, replay_id: str) -> Replay:
    tenant = _tenant(principal)
    found = await ports.replays.call(lambda store: store.replay(replay_id, tenant))
    if found is None:
        raise NotFound("There is no such replay.", next_step=_NEXT)
    return found


def _tenant(principal: Principal) -> str | None:
    """Return the tenant whose jobs are meant; None for those of all."""
    return None if principal.tenant == EVERY_TENANT else principal.tenant
