"""`/v1/replays/{replay_id}/report`: how the outcomes of a shadow run differ from those that count."""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response

from connectors.access_store import EVERY_TENANT
from connectors.replay_store import Replay
from connectors.shadow_store import ShadowStore
from gateway.models import EXAMPLE_ID
from gateway.openapi import problems
from gateway.ports import P, Ports
from gateway.principal import CanOperate
from schemas.errors import InvalidInput, NotFound
from schemas.states import Mode
from streams.shadow.report import make_report
from streams.shadow.report_html import html_of
from streams.shadow.report_json import json_of

router = APIRouter(prefix="/v1/replays", tags=["Replays"])

#: Jobs of a shadow run whose report is made over HTTP: the files of each are fetched and compared.
MOST_JOBS = 500
_EXAMPLE = {"replay_id": EXAMPLE_ID, "to_version": "2.0", "complete": True, "summary": {"cases": 50}, "cases": []}
_CONTENT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The report. `complete`: no shadow run is open any more.",
        "content": {
            "application/json": {"schema": {"type": "object"}, "example": _EXAMPLE},
            "text/html": {"schema": {"type": "string"}},
        },
    }
}


@router.get("/{replay_id}/report", response_class=Response, responses={**_CONTENT, **problems(404)})
async def report(
    ports: P,
    principal: CanOperate,
    replay_id: Annotated[UUID, Path(examples=[EXAMPLE_ID])],
    tolerance: Annotated[
        float, Query(ge=0, lt=1, description="Numbers within this relative difference count as equal.")
    ] = 0.0,
    form: Annotated[
        Literal["json", "html"], Query(alias="format", description="`html`: a page with pictures, complete in itself.")
    ] = "json",
) -> Response:
    """Compare a shadow run (`--to-version`) with the outcomes that count. The report has outputs, so data of patients; it is
    partial while shadow runs are open. Of at most 500 jobs; `sluice replay report` makes larger ones."""
    tenant = None if principal.tenant == EVERY_TENANT else principal.tenant
    replay = await ports.replays.call(lambda store: store.replay(str(replay_id), tenant))
    if replay is None:
        raise NotFound("There is no such replay.", next_step="Check its id.")
    if replay.mode != Mode.SHADOW:
        raise InvalidInput(
            "The replay is no shadow run: its runs count, and there is nothing to compare.",
            next_step="Ask for the report of a replay with `to_version`.",
        )
    if replay.total > MOST_JOBS:
        raise InvalidInput(
            f"The replay has {replay.total} jobs; a report over HTTP has at most {MOST_JOBS}.",
            next_step="Make it with `sluice replay report`.",
        )
    text = await ports.shadow.call(partial(_made, ports, replay, tolerance, form))
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": "sandbox; default-src 'none'; img-src data:"}
    if form == "json":
        return Response(text, 200, {"Cache-Control": "no-store"}, "application/json")
    headers["Content-Security-Policy"] += "; style-src 'unsafe-inline'"
    return Response(text, 200, headers, "text/html; charset=utf-8")


def _made(ports: Ports, replay: Replay, tolerance: float, form: str, store: ShadowStore) -> str:
    made = make_report(replay, store, ports.objects, tolerance=tolerance)
    return html_of(made) if form == "html" else json.dumps(json_of(made))
