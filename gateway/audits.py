"""`/v1/audits`: account for the accepted jobs of a time, as `sluice audit` does."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field, StrictInt

from connectors.access_store import EVERY_TENANT
from gateway.models import EXAMPLE_ID, EXAMPLE_TIME, Processor, Time
from gateway.openapi import json_of, problems
from gateway.ports import P
from gateway.principal import CanOperate
from gateway.problems import Problem
from schemas.errors import NotFound, UsageError
from streams.audit.report import Report
from streams.audit.scope import Scope
from streams.audit.tally import EXAMPLES

router = APIRouter(prefix="/v1/audits", tags=["Audits"])

AuditId = Annotated[str, Path(description="Id of an audit.", examples=[EXAMPLE_ID])]


class AuditRequest(BaseModel):
    """A time of requests to account for."""

    model_config = ConfigDict(extra="forbid")

    since: Time = Field(examples=[EXAMPLE_TIME], description="Only requests that were written since then.")
    until: Time | None = Field(None, description="Only requests that were written before then; null: until now.")
    processors: list[Processor] = Field([], max_length=100, description="Empty: all.")
    late_s: StrictInt = Field(300, ge=1, le=10_000_000, description="Seconds that a service may take for its work.")
    examples: StrictInt = Field(EXAMPLES, ge=0, le=1000, description="Examples of each kind of finding.")


class Example(BaseModel):
    """A job of a finding; `job_id` is empty for a record that names no job."""

    job_id: str = Field(examples=[EXAMPLE_ID])
    run: int
    detail: str


class FindingGroup(BaseModel):
    """All findings of a kind. `next`: the command to look further."""

    kind: str = Field(examples=["not_published"])
    meaning: str
    count: int
    examples: list[Example]
    next: str = Field(examples=[f"sluice explain {EXAMPLE_ID}"])


class AuditReport(BaseModel):
    """The report (docs/audit.md). `sha256`: of the canonical JSON of everything else."""

    kind: str
    complete: bool
    partial_because: str | None
    clean: bool = Field(description="It is complete, and there are no findings.")
    scope: dict[str, Any]
    jobs: dict[str, int] = Field(description="Jobs of these runs, and those that failed first and completed later.")
    records: dict[str, int] = Field(description="Records of the requests topics; they add up to those that were read.")
    runs: dict[str, dict[str, int] | int] = Field(description="Tables that add up.")
    findings: list[FindingGroup]
    sha256: str

    @classmethod
    def response(cls, report: Report) -> Response:
        return json_of(cls.model_validate(report))


class RunningAudit(BaseModel):
    """An audit that takes long. `GET /v1/audits/{audit_id}` has its report for a day."""

    audit_id: str = Field(examples=[EXAMPLE_ID])


@router.post(
    "",
    response_model=AuditReport,
    responses={202: {"model": RunningAudit, "description": "It takes long."}, **problems(404)},
)
async def start_audit(ports: P, principal: CanOperate, wanted: AuditRequest) -> Response:
    """Account for every accepted job of a time: its state, its outcome, its callback. Changes nothing."""
    if wanted.until is not None and wanted.until <= wanted.since:
        raise UsageError("`until` is not after `since`.", next_step="Exchange them.")
    tenant = None if principal.tenant == EVERY_TENANT else principal.tenant
    scope = Scope(
        tuple(wanted.processors), wanted.since, wanted.until, tenant=tenant, late=timedelta(seconds=wanted.late_s)
    )
    made = await ports.audits.start(scope, principal.tenant, wanted.examples)
    return json_of(RunningAudit(audit_id=made), 202) if isinstance(made, str) else AuditReport.response(made)


@router.get(
    "/{audit_id}",
    response_model=AuditReport,
    responses={202: {"model": RunningAudit, "description": "It still runs."}, **problems(404)},
)
async def read_audit(ports: P, principal: CanOperate, audit_id: AuditId) -> Response:
    """Read the report of an audit that took long."""
    kept = await ports.audits.kept(audit_id)
    if kept is None or kept.tenant != principal.tenant:
        raise NotFound("There is no such audit.", next_step="Reports are kept for a day; start another one.")
    if kept.error:
        raise Problem(503, "AUDIT_FAILED", f"The audit has no report: {kept.error}", next_step="Start another one.")
    return json_of(RunningAudit(audit_id=audit_id), 202) if kept.report is None else AuditReport.response(kept.report)
