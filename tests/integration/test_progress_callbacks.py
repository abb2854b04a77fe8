"""Progress callbacks on the real stack: from the topic to the backend, in its own shape, then the end."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from bench.receiver import Receiver
from streams.settings import Settings
from streams.sink import Sink
from tests.harness.scribe import Scribe, header
from tests.harness.waiting import in_thread, wait_until

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
        sequence = itertools.count(1)

        def write_until_heard(percent: float) -> None:
            """The sink of a new installation reads progress from the moment on at which it has its partitions."""
            before = len(receiver.callbacks)
            wait_until(
                lambda: receiver.wait_for(before + 1, 1.0),
                lambda: f"no callback of {percent} %",
                step=lambda: scribe.progress(job, sequence=next(sequence), percent=percent),
            )

        write_until_heard(10.0)
        write_until_heard(50.5)
        scribe.result(job)
        wait_until(lambda: receiver.callbacks[-1].path == "/callback/result", lambda: "its end was not heard")
    *progress, end = [callback.event() for callback in receiver.callbacks]
    percents = [body["percent"] for body in progress]
    assert (sorted(percents), set(percents)) == (percents, {10, 50})
    assert {body["id"] for body in progress} == {"case-7"}
    assert end == {"id": "case-7", "text": "hello"}
    assert len({callback.delivery_id for callback in receiver.callbacks}) == len(receiver.callbacks)
