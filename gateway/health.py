"""`GET /livez` and `GET /readyz`, for load balancers; without a token."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from gateway.ports import P

router = APIRouter(tags=["Health"])


@router.get("/livez")
async def livez(ports: P) -> JSONResponse:
    """Answer 200 while the process works."""
    return _answer({"alive": not ports.loops.dead}, "alive")


@router.get("/readyz")
async def readyz(ports: P) -> JSONResponse:
    """Answer 200 while requests may be sent; 503 from the moment the gateway begins to stop."""
    return _answer({"ready": not ports.loops.dead and not ports.stopping.is_set()}, "ready")


def _answer(content: dict[str, Any], key: str) -> JSONResponse:
    return JSONResponse(content, 200 if content[key] else 503, headers={"Cache-Control": "no-store"})
