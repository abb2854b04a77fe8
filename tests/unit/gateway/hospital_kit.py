"""A hospital's backend at the door of brain tumour inference, on twins: three processors that answer at once, by their real
contracts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import httpx

from processors.gene_expression.contract import GENE_EXPRESSION, GeneExpressionInput, GeneExpressionOutput
from processors.mri.contract import MRI, MriInput, MriOutput
from processors.multimodal.contract import MULTIMODAL, MultimodalInput, MultimodalOutput
from processors.policy import Batch, Policy
from processors.protocol import Job, JobContext, LoadContext
from schemas.errors import InvalidInput
from schemas.ids import new_id
from schemas.records import Claim, Upload
from streams import wiring
from streams.testing import Flow
from tests.harness.gateway_on_twins import GatewayOnTwins, TenantTokens

POLICY = Policy(batch=Batch(4))
ORDER = {"job_role": "LIS", "job_type": "BIOMARKER", "ocs_status": "CONFIRMED"}
NIFTI = b"\x1f\x8b volume"


def saved(ctx: JobContext, name: str, content: bytes, content_type: str) -> Claim:
    path: Path = ctx.scratch() / name
    path.write_bytes(content)
    return ctx.save(path, content_type)


class Mri:
    name, version, request, result, model_sha256 = "mri", "1", MriInput, MriOutput, ""
    policy = POLICY

    def load(self, ctx: LoadContext) -> None:
        """Nothing to load."""

    def prepare(self, job: Job[MriInput], ctx: JobContext) -> bytes:
        return ctx.open(job.input.volume).read_bytes()

    def run(self, items: Sequence[bytes]) -> list[bytes]:
        return list(items)

    def finish(self, job: Job[MriInput], raw: bytes, ctx: JobContext) -> MriOutput:
        if not raw.startswith(b"\x1f\x8b"):
            raise InvalidInput("The volume is neither NIfTI nor DICOM.")
        return MriOutput(
            mask=saved(ctx, "mask", b"mask" + raw, "application/x-nifti"),
            probability=saved(ctx, "probability", b"probability" + raw, "application/x-nifti"),
            overlay=saved(ctx, "o.png", b"\x89PNG" + raw, "image/png"),
            report=saved(ctx, "r.json", b"{}", "application/json"),
            lesion_volume_mm3=1250.0,
            lesion_count=2,
            slice_areas_mm2=[0.5],
            threshold=job.input.threshold or 0.5,
            voxel_mm3=1.0,
            shape=[1, 1, 1],
        )


class GeneExpression:
    name, version, request, result, model_sha256 = "gene-expression", "1", GeneExpressionInput, GeneExpressionOutput, ""
    policy = POLICY

    def load(self, ctx: LoadContext) -> None:
        """Nothing to load."""

    def prepare(self, job: Job[GeneExpressionInput], ctx: JobContext) -> str | None:
        return job.input.sample

    def run(self, items: Sequence[str | None]) -> list[str | None]:
        return list(items)

    def finish(self, job: Job[GeneExpressionInput], raw: str | None, ctx: JobContext) -> GeneExpressionOutput:
        return GeneExpressionOutput(
            predictions=saved(ctx, "p.csv", b"sample,class\n", "text/csv"),
            report=saved(ctx, "r.json", b"[]", "application/json"),
            samples=1,
            classes=["A", "B"],
            risk_classes=["A"],
            predicted_class="A",
            probabilities=[0.75, 0.25],
            risk=None if raw == "all" else 0.75,
            genes_used=2,
            genes_missing=1,
            genes_extra=0,
            scale="log2",
            warnings=[],
        )


class Multimodal:
    name, version, request, result, model_sha256 = "multimodal", "1", MultimodalInput, MultimodalOutput, ""
    policy = POLICY
    #: Inputs of the jobs that ran.
    seen: ClassVar[list[MultimodalInput]] = []

    def load(self, ctx: LoadContext) -> None:
        """Nothing to load."""

    def prepare(self, job: Job[MultimodalInput], ctx: JobContext) -> MultimodalInput:
        self.seen.append(job.input)
        return job.input

    def run(self, items: Sequence[MultimodalInput]) -> list[MultimodalInput]:
        return list(items)

    def finish(self, job: Job[MultimodalInput], raw: MultimodalInput, ctx: JobContext) -> MultimodalOutput:
        given = {"mri": raw.mri_volume_mm3, "genes": raw.gene_probability, "proteins": raw.proteins}
        used, missing = ([name for name, one in given.items() if (one is None) is away] for away in (False, True))
        report = saved(ctx, "r.json", b"{ }", "application/json")
        picture = saved(ctx, "c.png", b"\x89PNG bars", "image/png")
        return MultimodalOutput(0.4, 0.3, 0.5, used, missing, [], -1.0, {}, report, picture)


def hospital_flow() -> Flow:
    Multimodal.seen.clear()
    return Flow(Mri, GeneExpression, Multimodal, contracts=(MRI, GENE_EXPRESSION, MULTIMODAL))


class Hospital(GatewayOnTwins):
    """A backend with requests of its own, and the installation behind the door. `settings`: changes of the installation's."""

    def __init__(self, **settings: Any) -> None:
        changes = {"gateway_brain_tumour": True, "callback_allow": ("localhost",), **settings}
        super().__init__(hospital_flow(), **changes)
        self.ports.authenticator = TenantTokens()

    def visit(self, use: Callable[[httpx.AsyncClient], Awaitable[Any]], tenant: str = "default") -> Any:
        """Call the gateway as a tenant."""
        self.client.headers["Authorization"] = f"Bearer {tenant}"
        return super().visit(use)

    def post(self, tenant: str = "default", file: bytes | None = None, **fields: Any) -> httpx.Response:
        """Ask for an inference: as JSON, or as a form if there is a file."""
        body: dict[str, Any] = (
            {"json": fields} if file is None else {"data": fields, "files": {"file": ("f.bin", file)}}
        )
        answer: httpx.Response = self.visit(lambda client: client.post("/api/ai/inferences/", **body), tenant)
        return answer

    def done(self, file: bytes | None = None, **fields: Any) -> dict[str, Any]:
        """Ask for an inference, let it run, and return what the door says of it."""
        answer = self.post(file=file, **fields)
        assert answer.status_code == 202, answer.text
        self.flow.settle()
        return self.inference(fields["ai_req_id"])

    def inference(self, ai_req_id: str) -> dict[str, Any]:
        answer = self.get(f"/api/ai/inferences/{ai_req_id}/")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def get(self, path: str, tenant: str = "default") -> httpx.Response:
        answer: httpx.Response = self.visit(lambda client: client.get(path), tenant)
        return answer

    def order(self, patient_id: str | None, tenant: str = "default", kind: str = "biomarker", **labels: str) -> str:
        """Accept a biomarker order of a patient; return its upload's id."""
        claim = wiring.object_store(self.settings).put_bytes(b"name,value,unit\nalbumin,4.1,g/dL\n", "text/csv")
        upload = Upload(
            new_id(), claim, datetime.now(UTC), "p.csv", kind, tenant, patient_id, "test", labels={**ORDER, **labels}
        )
        with wiring.upload_store(self.settings) as store:
            store.add(upload)
        return upload.upload_id
