"""The jobs of the demonstration, and how they are submitted."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.receiver import Receiver
from schemas.ids import new_id
from schemas.records import EchoInput, SegmentationInput
from streams import wiring
from streams.client.submitter import Submitter
from streams.settings import Settings

if TYPE_CHECKING:
    from processors.segmentation.samples import Sample


@dataclass(slots=True)
class Plan:
    """All jobs of one demonstration. `submitted_at`: by job id, in seconds of the monotonic clock, as the receiver's times."""

    batch_id: str
    volumes: dict[str, Sample] = field(default_factory=dict)
    light: list[str] = field(default_factory=list)
    submitted_at: dict[str, float] = field(default_factory=dict)

    @property
    def jobs(self) -> int:
        return len(self.volumes) + len(self.light)


def make_volume(folder: Path, seed: int) -> Sample:
    """Make an MR volume with known lesions from the MNI152 anatomy."""
    from processors.segmentation.samples import make_samples

    return make_samples(folder, 1, seed)[0]


def submit(settings: Settings, receiver: Receiver, samples: list[Sample], light: int) -> Plan:
    """Submit all jobs, the volumes first because they take longest."""
    plan = Plan(batch_id=new_id())
    objects = wiring.object_store(settings)
    with Submitter(settings) as submitter:
        for sample in samples:
            claim = objects.put_file(sample.path, "application/gzip")
            job = submitter.submit_nowait(
                "segmentation", SegmentationInput(claim), callback_url=receiver.url, batch_id=plan.batch_id
            )
            plan.volumes[job] = sample
            plan.submitted_at[job] = time.monotonic()
        for number in range(light):
            job = submitter.submit_nowait(
                "echo", EchoInput(f"light job {number}"), callback_url=receiver.url, batch_id=plan.batch_id
            )
            plan.light.append(job)
            plan.submitted_at[job] = time.monotonic()
    return plan
