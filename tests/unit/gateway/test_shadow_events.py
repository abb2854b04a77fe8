"""Streams of events show shadow runs only to those who ask for one by its number."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.harness.event_reader import EventReader, gateway
from tests.harness.event_writer import EventWriter
from tests.harness.gateway_app import memory_settings


def test_the_stream_of_all_jobs_leaves_out_a_shadow_run(tmp_path: Path) -> None:
    settings = memory_settings(tmp_path, gateway_address="127.0.0.1:0")
    writer = EventWriter(settings)
    with gateway(settings) as address:
        body = {"processor": "echo", "input": {"message": "hello"}}
        job = str(httpx.post(f"http://{address}/v1/jobs", json=body).json()["job_id"])
        with EventReader(address, "/v1/events") as reader:
            begin = reader.until_alive()
            writer.progress(job, 1, "started")
            writer.progress(job, 1, "of the shadow run", run=1, mode="shadow")
            writer.text(job, 1, "of the shadow run", run=1, mode="shadow")
            writer.outcome(job, run=1, mode="shadow")
            writer.outcome(job)
            first = reader.next(3)
        with EventReader(address, "/v1/events", after=begin) as reader:
            again = reader.next(3)
    shown = [("state", 0), ("progress", 0), ("outcome", 0)]
    assert [(event.name, event.data["run"]) for event in (*first, *again)] == shown * 2
