"""The result of a job as a body: made from the stored outcome, or from its record in `outcomes.<processor>`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, Field

from connectors.jsonb import jsonb
from connectors.views import JobView
from gateway.models import EXAMPLE_ID, JobError
from schemas.envelope import header_of
from schemas.plain import from_plain
from schemas.records import Claim, JobHeader, Result, ResultInfo
from streams.client.outcomes import final_state
from streams.receipts.file_names import name_of

SHA256 = re.compile(r"[0-9a-f]{64}")


class ResultFile(BaseModel):
    """A file that the job saved. `name`: made of the output's field that has the file, else of its hash."""

    name: str = Field(examples=["mask.nii.gz"])
    sha256: str
    size: int
    content_type: str
    href: str


class Receipt(BaseModel):
    """Input, model and code that made an outcome. Null: not known, as for a run that no worker ran. `reused_from`:
    `job_id:run` whose output this result repeats, because input, model and code are the same; null if the job ran."""

    input_sha256: str | None
    model_version: str | None
    model_sha256: str | None
    code_version: str | None = Field(examples=["sluice-0.1.0+9f86d081884c7d65"])
    device: str | None
    reused_from: str | None = Field(examples=[None])


class JobResult(BaseModel):
    """`status`: COMPLETED, FAILED, CANCELLED or EXPIRED. `output` is null unless it is COMPLETED."""

    job_id: str = Field(examples=[EXAMPLE_ID])
    run: int
    processor: str = Field(examples=["echo"])
    status: str = Field(examples=["COMPLETED"])
    output: dict[str, Any] | None
    error: JobError | None
    model_version: str | None
    device: str | None
    receipt: Receipt
    files: list[ResultFile]


def result_of_view(view: JobView) -> JobResult:
    """Return the result of a job that has ended."""
    return JobResult(
        job_id=view.job_id,
        run=view.run,
        processor=view.processor,
        status=view.state,
        output=view.output,
        error=None if view.error is None else JobError(code=view.error.code, message=view.error.message),
        model_version=view.model_version,
        device=view.device,
        receipt=_receipt(view),
        files=files_of(view.job_id, view.run, view.refs, view.output),
    )


def result_of_record(plain: Mapping[str, Any]) -> tuple[JobHeader, JobResult]:
    """Return the header and the result of a decoded outcome. Raises UndecodableRecord, TypeError, KeyError."""
    header, info = header_of(plain), from_plain(ResultInfo, plain["result"])
    output = None if plain["output"] is None else json.loads(jsonb(plain["output"]))
    error = info.error
    body = JobResult(
        job_id=header.job_id,
        run=header.run,
        processor=header.processor,
        status=final_state(Result(header, info)),
        output=output,
        error=None if error is None else JobError(code=error.code, message=error.message),
        model_version=info.model_version or None,
        device=info.device or None,
        receipt=Receipt(
            input_sha256=header.input_sha256 or None,
            model_version=info.model_version or None,
            model_sha256=info.model_sha256,
            code_version=info.code_version or None,
            device=info.device or None,
            reused_from=info.reused_from,
        ),
        files=files_of(header.job_id, header.run, info.output_refs, output),
    )
    return header, body


def _receipt(view: JobView) -> Receipt:
    kept = view.receipt
    return Receipt(**{name: getattr(kept, name, None) for name in Receipt.model_fields})


def files_of(job_id: str, run: int, claims: Iterable[Claim], output: Any) -> list[ResultFile]:
    """Return the files of an outcome, each once."""
    files: dict[str, ResultFile] = {}
    for claim in claims:
        if SHA256.fullmatch(claim.sha256) and claim.sha256 not in files:
            files[claim.sha256] = ResultFile(
                name=name_of(claim, output),
                sha256=claim.sha256,
                size=claim.size,
                content_type=claim.content_type,
                href=f"/v1/jobs/{job_id}/files/{claim.sha256}?run={run}",
            )
    return list(files.values())
