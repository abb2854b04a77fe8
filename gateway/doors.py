"""Doors: routes that speak an old system's contract and are served only if a setting opens them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from fastapi import APIRouter

from gateway.brain_tumour import routes as brain_tumour
from gateway.mri_polling import routes as mri_polling
from gateway.research import routes as research
from gateway.video import routes as video
from streams.settings import Settings


class Door(NamedTuple):
    """`setting`: the variable and a value that opens it."""

    name: str
    setting: str
    router: APIRouter
    is_open: Callable[[Settings], bool]


DOORS = (
    Door("brain tumour", "SLUICE_GATEWAY_BRAIN_TUMOUR=true", brain_tumour.router, lambda s: s.gateway_brain_tumour),
    Door("MRI polling", "SLUICE_GATEWAY_MRI=networks or basic", mri_polling.router, lambda s: s.gateway_mri != "off"),
    Door("research runs", "SLUICE_GATEWAY_RESEARCH=true", research.router, lambda s: s.gateway_research),
    Door("video analysis", "SLUICE_GATEWAY_VIDEO=true", video.router, lambda s: s.gateway_video),
)
