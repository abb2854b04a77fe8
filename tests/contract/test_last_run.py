"""A job whose run has the greatest number, on both stores."""

from __future__ import annotations

from connectors.replay_store import LAST_RUN, NO_RUN_LEFT, PARKED, WAITING
from tests.harness.replay_rows import ALL, failed, new, rows, start
from tests.harness.stores import Stores, requested


def test_a_job_without_a_number_for_its_next_run_is_parked_and_the_others_go_on(stores: Stores) -> None:
    full, other = failed(stores, offset=0), failed(stores, offset=10)
    stores.store(requested(full, 30, run=LAST_RUN, header={"mode": "shadow"}))
    assert sum(group.jobs for group in stores.replays.preview(new(), ALL) if group.parked == NO_RUN_LEFT) == 1
    replay = start(stores)
    [parked] = rows(stores, replay, PARKED)
    [waiting] = rows(stores, replay, WAITING)
    assert (parked.job_id, parked.run, parked.reason) == (str(full), None, NO_RUN_LEFT)
    assert (waiting.job_id, waiting.run) == (str(other), 1)
