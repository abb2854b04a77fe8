"""Orders on real parts: what is asked reaches the log, the store and, in the end, the job."""

from __future__ import annotations

import pytest

from schemas.errors import UnknownProcessor, UsageError
from schemas.ids import new_id
from schemas.records import Control
from streams.control import Controls
from streams.log.tail import last
from streams.settings import Settings

pytestmark = pytest.mark.stack


def test_orders_travel_under_the_keys_that_the_topic_is_compacted_by(settings: Settings) -> None:
    job_id = new_id()
    with Controls(settings, by="nurse@ward") as controls:
        order = controls.cancel(job_id, 2, "moved")
        controls.pause("echo", "new weights")
    records = {record.key: record.value for record in last(settings, settings.topics.control, 10)}
    assert order == Control("cancel", order.at, "nurse@ward", job_id=job_id, run=2, reason="moved")
    assert records.keys() == {f"job:{job_id}:2", "processor:echo"}
    assert records["processor:echo"]["action"] == "pause"
    assert records["processor:echo"]["reason"] == "new weights"


def test_what_nobody_could_obey_is_refused_before_it_travels(settings: Settings) -> None:
    with Controls(settings) as controls:
        with pytest.raises(UnknownProcessor, match="echo"):
            controls.pause("ecko")
        with pytest.raises(UsageError):
            controls.cancel("job 1")
    assert last(settings, settings.topics.control, 10) == []
