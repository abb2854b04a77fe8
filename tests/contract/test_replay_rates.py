"""Rates of replays on both stores."""

from __future__ import annotations

from uuid import UUID

import pytest

from connectors.replay_store import MarkedRow, ReplayFilter
from tests.harness.replay_rows import failed, start
from tests.harness.stores import Stores


@pytest.mark.parametrize("rate", [5e-324, 1e-15, 1e300, float("inf"), float("nan"), 0.0, -1.0])
def test_no_stored_rate_stops_the_replays_of_others(stores: Stores, rate: float) -> None:
    failed(stores, "E0")
    failed(stores, "E1", 2)
    odd = start(stores, ReplayFilter(error_code="E0"), rate=rate)
    other = start(stores, ReplayFilter(error_code="E1"))
    due = stores.replays.due(500)
    assert [(work.replay.replay_id, len(work.rows)) for work in due] == [(odd.replay_id, 1), (other.replay_id, 1)]
    for _ in range(2):
        stores.replays.mark([MarkedRow(UUID(one.replay_id).bytes, 1, "published") for one in (odd, other)])
    assert {one.state for one in stores.replays.replays(10)} == {"done"}
