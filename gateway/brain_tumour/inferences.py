"""Submits and reads inferences by a backend's own ids. An inference is a job: `external_id` is its `ai_req_id`, `case_id` its
patient."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple, cast
from urllib.parse import quote

from starlette.datastructures import UploadFile

from connectors.object_backend import CHUNK
from connectors.views import JobStatus, JobView
from gateway.brain_tumour.bodies import (
    MODEL_NAMES,
    STATES,
    AcceptedInference,
    Inference,
    InferenceFields,
    InferenceFile,
)
from gateway.brain_tumour.catalogue import BY_PROCESSOR, CALLBACK_URL, MM, MODELS, TumourModel, job_id_of
from gateway.brain_tumour.multimodal import ELIGIBLE, check_patient, chosen_inputs, upload_of
from gateway.models import JobError, SubmitJob
from gateway.ports import Ports
from gateway.upload_service import About
from gateway.uploads import content_type
from schemas.errors import Conflict, InvalidInput, NotFound, UnknownProcessor
from schemas.ids import derived_id
from schemas.plain import to_plain
from schemas.records import Claim, Upload
from schemas.states import State
from streams.receipts.file_names import name_of

_STATES: Mapping[State, STATES] = {
    State.PENDING: "PENDING",
    State.PROCESSING: "PROCESSING",
    State.RETRYING: "PROCESSING",
    State.COMPLETED: "COMPLETED",
}
#: Label of a job: the hash of its request, by which a repetition is recognized.
REQUEST = "request_sha256"


class SentFile(NamedTuple):
    """The file of a form, and its hash."""

    file: UploadFile
    sha256: str


async def submit(ports: Ports, tenant: str, asked: InferenceFields, file: UploadFile | None) -> AcceptedInference:
    """Accept an inference; return the one of before for a repeated request.

    Raises Conflict for another request under this `ai_req_id`, and as `JobDoor.submit` and `chosen_inputs`.
    """
    model, job_id = MODELS[asked.model], job_id_of(tenant, asked.ai_req_id)
    sent = None if file is None else await _sent(file)
    fingerprint = _fingerprint(asked, sent)
    status = await _known(ports, tenant, job_id)
    if status is None:
        job = await _job(ports, tenant, model, asked, sent, fingerprint)
        try:
            status = (await ports.door.submit(tenant, job, asked.ai_req_id, job_id))[0]
        except Conflict as error:
            raise _other_request() from error
        except UnknownProcessor as error:
            raise UnknownProcessor(
                f"{model.name} needs the processor {model.processor!r}, which this gateway does not serve.",
                next_step="Name it in SLUICE_PROCESSORS of the gateway, and start a worker for it.",
            ) from error
    if status.labels.get(REQUEST) != fingerprint:
        raise _other_request()
    return AcceptedInference(ai_req_id=asked.ai_req_id, job_id=job_id, status=state_of(status.state))


async def _sent(file: UploadFile) -> SentFile:
    """Raises InvalidInput for an empty file."""
    if not file.size:
        raise InvalidInput("The file is empty.", next_step="Send the whole file.")
    await file.seek(0)
    digest = await asyncio.to_thread(hashlib.file_digest, cast(Any, file.file), "sha256")
    await file.seek(0)
    return SentFile(file, digest.hexdigest())


def _other_request() -> Conflict:
    return Conflict("Another request was submitted with this ai_req_id.", next_step="Use a new ai_req_id.")


async def _known(ports: Ports, tenant: str, job_id: str) -> JobStatus | None:
    try:
        return await ports.reader.status(job_id, tenant)
    except NotFound:
        return None


def _fingerprint(asked: InferenceFields, sent: SentFile | None) -> str:
    """Return a hash of a request, by which its repetition is recognized. A file that was sent again counts by its content."""
    fields = asked.model_dump(exclude={"ai_req_id", "callback_url"}, exclude_none=True)
    content = [fields, None if sent is None else sent.sha256]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _parts(asked: InferenceFields) -> dict[str, str]:
    """Return labels that name what a person chose for MM."""
    chosen = asked.model_dump(include={"m1_ai_req_id", "mg_ai_req_id", "biomarker_upload_id"}, exclude_none=True)
    return cast(dict[str, str], chosen)


async def _job(
    ports: Ports, tenant: str, model: TumourModel, asked: InferenceFields, sent: SentFile | None, fingerprint: str
) -> SubmitJob:
    """Return the job of a request, and store its file. Options that were not given are the processor's defaults."""
    found: list[Upload] = []

    async def find_upload() -> Upload | None:
        upload = await _upload(ports, tenant, model, asked, sent)
        found.extend([] if upload is None else [upload])
        return upload

    options = asked.model_dump(include=set(model.options), exclude_none=True)
    if model is MM:
        input_ = options | await chosen_inputs(ports, tenant, asked, find_upload)
    elif (upload := await find_upload()) is None:
        raise InvalidInput(f"{model.name} needs a file.", next_step="Send `upload_id`, or a form with `file`.")
    else:
        if upload.case_id is not None:
            check_patient(upload.case_id, asked.patient_id, "file")
        input_ = {**options, model.file: to_plain(upload.claim)}
    return SubmitJob(
        processor=model.processor,
        input=input_,
        external_id=asked.ai_req_id,
        case_id=asked.patient_id,
        upload_id=found[0].upload_id if found else None,
        callback_url=asked.callback_url or CALLBACK_URL,
        labels={REQUEST: fingerprint, **_parts(asked)},
    )


async def _upload(
    ports: Ports, tenant: str, model: TumourModel, asked: InferenceFields, sent: SentFile | None
) -> Upload | None:
    """Return the upload that a request names, or its file once it is stored; None without either."""
    field = "biomarker_upload_id" if model is MM else "upload_id"
    upload_id: str | None = getattr(asked, field)
    if sent is None:
        return None if upload_id is None else await upload_of(ports, tenant, upload_id, field)
    if upload_id is not None:
        raise InvalidInput(f"The request has a file and {field}.", next_step="Send one of them.")
    file = sent.file
    about = About(
        tenant,
        content_type(file.content_type or ""),
        file.filename or "",
        model.kind,
        asked.patient_id,
        sent.sha256,
        labels=asked.model_dump(include=set(ELIGIBLE), exclude_none=True),
        upload_id=derived_id(tenant, _fingerprint(asked, sent), asked.ai_req_id, "brain-tumour-file"),
    )
    return await ports.uploads.receive(_chunks(file), about)


async def _chunks(file: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await file.read(CHUNK):
        yield chunk


# ── reading ──


async def read(ports: Ports, tenant: str, ai_req_id: str) -> Inference:
    """Return an inference of the tenant, also right after it was accepted. Raises NotFound, Unreachable."""
    status = await _known(ports, tenant, job_id_of(tenant, ai_req_id))
    if status is None or (model := BY_PROCESSOR.get(status.processor)) is None:
        raise unknown()
    view: JobView | None = None
    if State(status.state) is State.COMPLETED:
        view = await ports.jobs.call(lambda store: store.job(status.job_id, status.run))
    output = {} if view is None or view.output is None else view.output
    state = state_of(status.state)
    return Inference(
        ai_req_id=ai_req_id,
        job_id=status.job_id,
        model=cast(MODEL_NAMES, model.name),
        patient_id=status.case_id or "",
        status=state,
        result={name: value for name, value in output.items() if not _is_claim(value)} if view is not None else None,
        files=[_file(ai_req_id, name, claim) for name, claim in files_of(model, output).items()],
        error=_error(status) if state == "FAILED" else None,
        created_at=status.created_at,
        finished_at=status.finished_at,
    )


def state_of(state: str) -> STATES:
    return _STATES.get(State(state), "FAILED")


def _error(status: JobStatus) -> JobError:
    """Return why an inference failed. A cancelled or expired one has its state as the code unless it has one of its own."""
    return JobError(
        code=status.error_code or status.state, message=status.error_message or f"The job is {status.state}."
    )


def files_of(model: TumourModel, output: Mapping[str, Any]) -> dict[str, Claim]:
    """Return the files of an output by their names."""
    claims = {field: Claim(**value) for field, value in output.items() if _is_claim(value)}
    return {model.file_names.get(field) or name_of(claim, output): claim for field, claim in claims.items()}


def _is_claim(value: Any) -> bool:
    return isinstance(value, Mapping) and {"uri", "sha256"} <= value.keys()


def _file(ai_req_id: str, name: str, claim: Claim) -> InferenceFile:
    url = f"/api/ai/inferences/{ai_req_id}/files/{quote(name, safe='')}"
    return InferenceFile(name=name, url=url, size=claim.size, sha256=claim.sha256, content_type=claim.content_type)


def unknown() -> NotFound:
    return NotFound("There is no such inference.", next_step="Check its ai_req_id.")
