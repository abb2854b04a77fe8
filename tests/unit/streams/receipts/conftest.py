"""A flow with a processor that saves a mask and counts its runs; the commands find the flow by the environment."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Unpack

import pytest

from processors.policy import Policy
from processors.protocol import Job, JobContext, LoadContext
from schemas.errors import InvalidInput
from schemas.records import SEGMENTATION, Claim, SegmentationInput, SegmentationOutput
from streams.client.job_options import JobOptions
from streams.testing import Flow


class Masker:
    """Segments nothing: its mask is the input's bytes, compressed."""

    name, version = "segmentation", "1"
    request, result = SegmentationInput, SegmentationOutput
    policy = Policy(memoize=True)
    model_sha256 = "ab" * 32

    def __init__(self) -> None:
        self.runs = 0

    def load(self, ctx: LoadContext) -> None:
        """Nothing to load."""

    def prepare(self, job: Job[SegmentationInput], ctx: JobContext) -> bytes:
        if job.input.threshold > 1:
            raise InvalidInput("no such threshold")
        return ctx.open(job.input.volume).read_bytes()

    def run(self, items: Sequence[bytes]) -> Sequence[bytes]:
        self.runs += len(items)
        return [gzip.compress(item, mtime=0) for item in items]

    def finish(self, job: Job[SegmentationInput], raw: bytes, ctx: JobContext) -> SegmentationOutput:
        path = ctx.scratch() / "mask"
        path.write_bytes(raw)
        mask = ctx.save(path, "application/x-nifti")
        return SegmentationOutput(mask, 1.5, 1, [1.0], job.input.threshold, 0.5, [1, 2, 3])


Submit = Callable[..., str]


@pytest.fixture
def masker() -> Masker:
    return Masker()


@pytest.fixture
def flow(masker: Masker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Flow]:
    with Flow(masker, contract=SEGMENTATION) as made:
        settings = made.settings
        monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", settings.kafka_bootstrap_servers)
        monkeypatch.setenv("SCHEMA_REGISTRY_URL", settings.schema_registry_url)
        monkeypatch.setenv("SLUICE_HOME", str(settings.home))
        monkeypatch.setenv("SLUICE_TOPIC_PREFIX", settings.topic_prefix)
        yield made


@pytest.fixture
def volume(flow: Flow, tmp_path: Path) -> Claim:
    path = tmp_path / "volume.nii"
    path.write_bytes(b"a volume")
    return flow.upload(path, "application/x-nifti")


@pytest.fixture
def submit(flow: Flow, volume: Claim) -> Submit:
    """Submit a job, and let the flow do everything that follows; returns the job's id."""

    def made(threshold: float = 0.5, **options: Unpack[JobOptions]) -> str:
        job_id = flow.submit("segmentation", SegmentationInput(volume, threshold=threshold), **options)
        flow.settle()
        return job_id

    return made
