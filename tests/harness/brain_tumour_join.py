"""A patient's outcomes and biomarker orders, for tests of the join of deploy/rules/brain_tumour.toml."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from processors.gene_expression.contract import GeneExpressionOutput
from processors.mri.contract import MriOutput
from schemas.records import Claim, JobHeader, Result, ResultInfo, Timings, Upload
from tests.harness.source_tree import ROOT

RULES = ROOT / "deploy" / "rules" / "brain_tumour.toml"
START = datetime(2026, 11, 1, tzinfo=UTC)
FILE = Claim("file:///f", "cd" * 32, 5)
OUTPUTS = {
    "mri": MriOutput(FILE, FILE, FILE, FILE, 8200.0, 2, [1.0], 0.5, 1.0, [1, 1, 1]),
    "gene-expression": GeneExpressionOutput(FILE, FILE, 1, ["a"], ["a"], "a", [0.7], 0.7, 9, 0, 0, "log2", []),
}
ORDER = {"job_role": "LIS", "job_type": "BIOMARKER", "ocs_status": "CONFIRMED"}


def outcome(
    processor: str, number: int, case_id: str = "c1", disposition: str = "succeeded", **header: Any
) -> Result[Any]:
    """Return an outcome of a job for a patient; a greater number is a newer job."""
    made = START + timedelta(seconds=number)
    job = JobHeader(f"00000000-0000-0000-0000-{number:012d}", processor, made, "", case_id=case_id, **header)
    info = ResultInfo(disposition, "w", "cpu", Timings(START, START, START))
    return Result(job, info, OUTPUTS[processor] if disposition == "succeeded" else None)


def order(
    upload_id: str = "u1", case_id: str = "c1", tenant: str = "default", kind: str = "biomarker", **labels: str
) -> Upload:
    """Return the upload of an eligible biomarker order, with these labels in place of its own; an empty one is left out."""
    kept = {name: text for name, text in (ORDER | labels).items() if text}
    claim = Claim("file:///x", "ab" * 32, 10, "text/csv")
    return Upload(upload_id, claim, START, "table.csv", kind, tenant, case_id, labels=kept)
