"""Records of polling workers, which speak JSON: the gateway encodes what a lab worker encodes itself. Blocking."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from connectors.lease_store import Grant, LeaseView
from gateway.lab_request import LabRequest
from gateway.mri_polling.bodies import End, RequestId
from processors.mri_lab.contract import MRI_LAB, MriLabInput
from schemas import headers
from schemas.avsc import result_schema, self_contained
from schemas.codec import Codec
from schemas.envelope import typed_input
from schemas.errors import ErrorCode, InvalidInput, SluiceError, UndecodableRecord
from schemas.plain import to_plain
from schemas.records import Coordinates, ErrorInfo, JobHeader, Progress, Result, ResultInfo, Timings
from schemas.states import Disposition
from streams.settings import Settings

#: As the worker's own results: newer than all progress.
LAST_SEQUENCE = 2**31 - 1
#: The stage of a job that a polling worker has reported on.
STAGE = "processing"


class Records:
    """Raises Unreachable at the first use of a schema, which asks the registry."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self._names = settings.topics
        self._codec = codec

    def input(self, value: bytes) -> MriLabInput:
        """Return the input of a request. Raises UndecodableRecord."""
        try:
            made = typed_input(MRI_LAB, self._codec.decode(value)["input"])
        except (InvalidInput, KeyError, TypeError) as error:
            raise UndecodableRecord(f"The request has no input of {MRI_LAB.name!r}.") from error
        assert isinstance(made, MriLabInput)
        return made

    def result(self, lease: LeaseView, request: RequestId, worker_id: str, end: End) -> bytes:
        """Encode a worker's end as the result of its execution."""
        header = LabRequest(lease, self._codec).header
        if header is None:
            raise UndecodableRecord("The job's request can't be decoded.")
        started = lease.renewed_at or datetime.now(UTC)
        error = None
        if end.output is None:
            fingerprint = hashlib.sha256(f"{ErrorCode.PROCESSOR_ERROR}|polling".encode()).hexdigest()[:16]
            error = ErrorInfo(ErrorCode.PROCESSOR_ERROR, end.error, "ReportedFailure", fingerprint)
        device = "unknown" if end.output is None else end.output.device or "unknown"
        info = self._info(worker_id, device, started, lease.execution, lease.coordinates, error, header.input_sha256)
        return self._encoded(Result(header, info, end.output))

    def rejected(self, grant: Grant, worker_id: str, why: SluiceError) -> bytes:
        """Encode the failure of a request that can't be decoded: its header has only what its Kafka headers say."""
        mode = headers.mode_of(dict(grant.headers).get(headers.MODE))
        made = JobHeader(
            grant.job_id, MRI_LAB.name, grant.accepted_at, "", run=grant.run, attempt=grant.attempt, mode=mode
        )
        error = ErrorInfo(why.code, why.message, type(why).__name__)
        now = datetime.now(UTC)
        return self._encoded(
            Result(made, self._info(worker_id, "unknown", now, grant.execution, grant.coordinates, error, ""))
        )

    def progress(self, lease: LeaseView, request: RequestId, worker_id: str, at: datetime) -> bytes:
        typed = self._codec.typed(Progress, f"{self._names.progress}-value", self_contained("Progress"))
        return typed.encode(
            Progress(
                job_id=request.job_id,
                run=request.run,
                attempt=lease.attempt,
                execution=lease.execution,
                sequence=1,
                processor=MRI_LAB.name,
                stage=STAGE,
                worker_id=worker_id,
                at=at,
            )
        )

    def _info(
        self,
        worker_id: str,
        device: str,
        started: datetime,
        execution: int,
        place: Coordinates | None,
        error: ErrorInfo | None,
        input_sha256: str,
    ) -> ResultInfo:
        now = datetime.now(UTC)
        run_ms = max(0.0, (now - started).total_seconds() * 1000)
        return ResultInfo(
            Disposition.SUCCEEDED if error is None else Disposition.FAILED,
            worker_id,
            device,
            Timings(started, started, now, run_ms=run_ms),
            execution=execution,
            sequence=LAST_SEQUENCE,
            request_coordinates=place,
            error=error,
            input_sha256=input_sha256,
        )

    def _encoded(self, result: Result[object]) -> bytes:
        subject = f"{self._names.results(MRI_LAB.name)}-value"
        return self._codec.encoder(subject, result_schema(MRI_LAB)).encode(to_plain(result))
