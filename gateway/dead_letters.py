"""`/v1/dead-letters`: records that a service could not use, in groups; explained, redriven and dropped."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response

from connectors.access_store import EVERY_TENANT
from connectors.dead_letter_store import DeadLetter, DeadLetterFilter
from gateway.dead_letter_models import (
    PLACE,
    PLAIN,
    DropAnswer,
    DropRequest,
    LetterBody,
    LetterDetailsBody,
    LetterGroupBody,
    LetterGroupList,
    LetterPage,
    ParkedBody,
    RedriveAnswer,
    RedriveRequest,
    RefusalBody,
    letter_place,
)
from gateway.models import Time
from gateway.openapi import json_of, problems
from gateway.paging import cursor_of, place_of
from gateway.ports import P, Ports
from gateway.principal import CanOperate, Principal
from schemas.errors import NotFound
from streams.dead_letters.details import LetterDetails
from streams.dead_letters.redrive import (
    Parked,
    RedrivePlanner,
    Refusal,
    check_places,
    described,
    open_letters,
    redrive_of,
    sources,
)
from streams.replay.start import ReplayOptions

router = APIRouter(prefix="/v1/dead-letters", tags=["Dead letters"])

#: Most dead letters that a dry run reads, so that it ends in time.
MOST_CHECKED = 1000

StateName = Literal["open", "redriven", "dropped", "all"]
Reason = Annotated[str | None, Query(max_length=100, pattern=PLAIN, examples=["UNDECODABLE"])]
Group = Annotated[str | None, Query(pattern="^[0-9a-f]{12}$", description="Fingerprint of a group.")]
ProcessorName = Annotated[str | None, Query(max_length=100, pattern=PLAIN)]
State = Annotated[StateName, Query()]
Since = Annotated[Time | None, Query(description="Only those since then.")]


@router.get("", response_model=LetterPage)
async def list_dead_letters(
    ports: P,
    principal: CanOperate,
    reason: Reason = None,
    group: Group = None,
    processor: ProcessorName = None,
    job_id: Annotated[str | None, Query(max_length=64)] = None,
    state: State = "open",
    after: Since = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> Response:
    """List dead letters, newest first. A token of a tenant sees those of its own jobs."""
    wanted = _wanted(principal, reason, group, processor, state, after, job_id)
    place = place_of(cursor, is_id=_is_place)
    last = None if place is None else (place[0], letter_place(place[1]))
    found = await ports.dead_letters.call(lambda store: store.find(wanted, limit + 1, last))
    page, more = found[:limit], len(found) > limit
    following = cursor_of(page[-1].at, f"{page[-1].partition}:{page[-1].offset}") if more else None
    return json_of(LetterPage(items=[LetterBody.of(one) for one in page], next_cursor=following))


@router.get("/groups", response_model=LetterGroupList)
async def list_groups(
    ports: P,
    principal: CanOperate,
    reason: Reason = None,
    processor: ProcessorName = None,
    state: State = "open",
    after: Since = None,
) -> Response:
    """List groups of dead letters that failed alike, the largest first."""
    wanted = _wanted(principal, reason, None, processor, state, after, None)
    found = await ports.dead_letters.call(lambda store: store.groups(wanted))
    return json_of(LetterGroupList(items=[LetterGroupBody.of(one) for one in found]))


@router.post("/redrive", status_code=202, response_model=RedriveAnswer, responses=problems(404, 409))
async def redrive(ports: P, principal: CanOperate, body: RedriveRequest) -> Response:
    """Run the jobs of dead letters again, or write records of unknown jobs back; the timekeeper does it."""
    wanted = body.wanted(_tenant(principal))
    options = ReplayOptions(
        f"{principal.name or 'token'} of {principal.tenant}",
        body.note,
        tenant=_tenant(principal),
        rate=body.rate,
        at_most=body.max,
        force=body.force,
        edit=body.edit,
    )
    new = redrive_of(ports.settings, described(wanted), options)
    letters = (await ports.dead_letters.call(lambda store: open_letters(store, wanted)))[: body.max]
    if not body.dry_run:
        started = await ports.replays.call(lambda store: store.start(new, sources(letters)))
        return json_of(
            RedriveAnswer(replay_id=started.replay_id, letters=len(letters), checked=0, refused=[], parked=[]), 202
        )

    def checked() -> tuple[list[Refusal | None], list[Parked]]:
        with RedrivePlanner(ports.settings) as planner:
            return list(planner.refusals(letters[:MOST_CHECKED], new)), planner.parked(letters, new)

    refused, parked = await asyncio.to_thread(checked)
    return json_of(
        RedriveAnswer(
            replay_id=None,
            letters=len(letters),
            checked=len(refused),
            refused=[RefusalBody(place=one.place, reason=one.reason) for one in refused if one is not None],
            parked=[ParkedBody(reason=one.reason, jobs=one.jobs) for one in parked],
        ),
        202,
    )


@router.post("/drop", response_model=DropAnswer, responses=problems(404, 409))
async def drop(ports: P, principal: CanOperate, body: DropRequest) -> Response:
    """Drop open dead letters: they are listed no more, unless asked for. Their records stay in the log."""
    wanted, by = body.wanted(_tenant(principal)), f"{principal.name or 'token'} of {principal.tenant}"
    await ports.dead_letters.call(lambda store: check_places(store, wanted))
    number = await ports.dead_letters.call(lambda store: store.drop(wanted, by, body.note))
    return json_of(DropAnswer(letters=number))


@router.get("/places/{place}", response_model=LetterDetailsBody, responses=problems(404))
async def read_dead_letter(
    ports: P,
    principal: CanOperate,
    place: Annotated[str, Path(pattern=PLACE, description="PARTITION:OFFSET.", examples=["3:12"])],
) -> Response:
    """Read a dead letter: why it failed, its record, and what a redrive would do."""
    one = await _found(ports, principal, place)
    new = redrive_of(ports.settings, {}, ReplayOptions("", tenant=_tenant(principal)))

    def read() -> LetterDetails:
        with RedrivePlanner(ports.settings) as planner:
            return planner.details(one, new)

    return json_of(LetterDetailsBody.of(await asyncio.to_thread(read)))


async def _found(ports: Ports, principal: Principal, place: str) -> DeadLetter:
    wanted = DeadLetterFilter([letter_place(place)], tenant=_tenant(principal))
    found = await ports.dead_letters.call(lambda store: store.find(wanted, 1))
    if not found:
        raise NotFound("There is no such dead letter.", next_step="`GET /v1/dead-letters` lists them.")
    return found[0]


def _wanted(
    principal: Principal,
    reason: str | None,
    group: str | None,
    processor: str | None,
    state: str,
    after: datetime | None,
    job_id: str | None,
) -> DeadLetterFilter:
    made = DeadLetterFilter(None, group, reason, processor, None, after, None, job_id, _tenant(principal))
    return made if state == "all" else replace(made, states=[state])


def _is_place(text: str) -> bool:
    return re.match(PLACE, text) is not None


def _tenant(principal: Principal) -> str | None:
    """Return the tenant whose jobs' dead letters are meant; None for those of all, and of unknown jobs."""
    return None if principal.tenant == EVERY_TENANT else principal.tenant
