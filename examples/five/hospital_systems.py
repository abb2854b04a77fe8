"""Systems 1 and 2: the hospital's own demonstration, whose results are shown beside the others'."""

from __future__ import annotations

import report
import summary
from summary import Shown
from systems import Systems


def tumour(hospital: Systems) -> list[Shown]:
    """Brain tumour inference: M1, MG, then MM from both."""
    return [_shown(summary.TUMOUR, row) for row in hospital.tumour()]


def segmentation(hospital: Systems) -> list[Shown]:
    """A series segmented by an old lab machine that polls."""
    return [_shown(summary.SEGMENTATION, row) for row in hospital.segmentation()]


def _shown(system: str, row: report.Row) -> Shown:
    stored = {"id": row.request, "model": row.what, "status": row.state, "page": row.url}
    return Shown(system, row.request, row.what, row.states, row.seconds, row.score, row.ok, stored, row.pictures)
