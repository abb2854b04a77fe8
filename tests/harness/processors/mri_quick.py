"""A second version of `mri-lab` that needs no Orthanc and no network: it finds nothing, at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from processors.mri_lab.contract import MriLabInput, MriLabOutput
from processors.policy import Batch, LeasePolicy, Policy
from processors.protocol import Job, JobContext, LoadContext
from schemas.states import Custody
from tests.harness.packages import install


class QuickMriLab:
    name, version, request, result, model_sha256 = "mri-lab", "quick", MriLabInput, MriLabOutput, ""
    policy = Policy(custody=Custody.LEASE, batch=Batch(1), lease=LeasePolicy(5.0))

    def load(self, ctx: LoadContext) -> None:
        """Nothing to load."""

    def prepare(self, job: Job[MriLabInput], ctx: JobContext) -> str:
        return job.input.series_id

    def run(self, items: Sequence[str]) -> Sequence[str]:
        return items

    def finish(self, job: Job[MriLabInput], raw: str, ctx: JobContext) -> MriLabOutput:
        return MriLabOutput(found=False, lesion_count=0, lesion_volume_mm3=0.0, device="cpu", report=f"quick: {raw}")


def installed(site: Path) -> str:
    """Install it as the version `quick`. Returns the PYTHONPATH to run with; SLUICE_ROLLOUT=mri-lab=quick selects it."""
    at = f"{__name__}:{QuickMriLab.__name__}"
    points = {"mri-lab": at, "mri-lab@quick": at}
    return install(site, "mri-lab", "processors.mri_lab.contract:MRI_LAB", points, optional=True)
