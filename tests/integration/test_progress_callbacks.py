"""Progress callbacks on the real stack: from the topic to the backend, in its own shape, then the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.receiver import Receiver
from streams.settings import Settings
from streams.sink import Sink
from tests.harness.scribe import Scribe, header
from tests.harness.waiting import in_thread

pytestmark = pytest.mark.stack

SHAPES = """
    [processors]
    echo = "shape"
    [profiles.shape.progress]
    body = { id = "$.data.external_id", percent = { "$from" = "data.percent", as = "int" } }
    [profiles.shape.success]
    path = "/result"
    body = { id = "$.data.external_id", text = "$.data.output.message" }
"""


def test_a_running_jobs_backend_hears_of_its_progress_and_then_of_its_end(
    settings: Settings, scribe: Scribe, tmp_path: Path
) -> None:
    file = tmp_path / "shapes.toml"
    file.write_text(SHAPES)
    settings = settings.model_copy(update={"callback_shapes": file})
    with Receiver() as receiver, in_thread(Sink(settings, notify=True).run):
        job = header(callback_url=receiver.url, external_id="case-7")
        scribe.request(job)
        scribe.wait(job, "PENDING")
        for n, percent in enumerate((10.0, 50.5), 1):
            scribe.progress(job, sequence=n, percent=percent)
            assert receiver.wait_for(n, 20)
        scribe.result(job)
        assert receiver.wait_for(3, 20)
    bodies = [callback.event() for callback in receiver.callbacks]
    assert bodies[:2] == [{"id": "case-7", "percent": 10}, {"id": "case-7", "percent": 50}]
    assert bodies[2:] == [{"id": "case-7", "text": "hello"}]
    assert receiver.callbacks[-1].path == "/callback/result"
    assert len({callback.delivery_id for callback in receiver.callbacks}) == 3
