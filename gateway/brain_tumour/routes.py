"""`/api/ai`: the door of brain tumour inference. Off unless SLUICE_GATEWAY_BRAIN_TUMOUR is true (docs/brain_tumour.md)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from gateway import results
from gateway.brain_tumour import inferences, multimodal
from gateway.brain_tumour.bodies import PATIENT_ID, REQUEST_ID, AcceptedInference, Inference, MultimodalInputs
from gateway.brain_tumour.catalogue import BY_PROCESSOR, job_id_of
from gateway.brain_tumour.request import DESCRIBED, read_request
from gateway.file_response import file_response
from gateway.openapi import json_of, problems
from gateway.ports import P
from gateway.principal import CanRead, CanSubmit
from schemas.errors import InvalidInput, NotFound

router = APIRouter(prefix="/api/ai", tags=["Brain tumour"])

AiReqId = Annotated[
    str, Path(pattern=REQUEST_ID, description="The backend's id of a request.", examples=["ai_req_0001"])
]
PatientIdOfPath = Annotated[str, Path(pattern=PATIENT_ID, description="A patient.", examples=["P-2026-0007"])]
FileName = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$", examples=["mask.nii.gz"])]
_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


@router.post(
    "/inferences/", status_code=202, response_model=AcceptedInference, responses=problems(409), openapi_extra=DESCRIBED
)
async def submit(request: Request, ports: P, principal: CanSubmit) -> Response:
    """Submit an inference by M1, MG or MM, as JSON or as a form with the file. The result is also POSTed to the callback URL.

    Repeating a request under its `ai_req_id` answers with the inference of before; another request under it is a 409.
    """
    async with read_request(request, ports.settings.upload_max_bytes) as (asked, file):
        return json_of(await inferences.submit(ports, principal.tenant, asked, file), 202)


@router.get("/inferences/{ai_req_id}/", response_model=Inference, responses=problems(404))
async def read(ports: P, principal: CanRead, ai_req_id: AiReqId) -> Response:
    """Read an inference. It can be asked for about once a second."""
    return json_of(await inferences.read(ports, principal.tenant, ai_req_id))


@router.get(
    "/inferences/{ai_req_id}/files/{name}",
    response_class=Response,
    responses={
        200: {"description": "The file.", "content": _BYTES},
        206: {"description": "The range that was asked for.", "content": _BYTES},
        304: {"description": "The client has the file (`If-None-Match`)."},
        **problems(404, 409, 416),
    },
)
async def read_file(ports: P, principal: CanRead, request: Request, ai_req_id: AiReqId, name: FileName) -> Response:
    """Download a file of a completed inference, by its name in `files`."""
    try:
        view = await results.ended(ports, principal.tenant, job_id_of(principal.tenant, ai_req_id), None)
    except NotFound:
        raise inferences.unknown() from None
    model = BY_PROCESSOR.get(view.processor)
    claim = None if model is None else inferences.files_of(model, view.output or {}).get(name)
    if claim is None:
        raise NotFound("The inference has no such file.", next_step="`files` of the inference names its files.")
    try:
        return await file_response(request, ports.objects, claim, name)
    except InvalidInput as error:  # the client named no uri: the stored one can't be read
        raise NotFound("The file is no longer stored.", next_step="Submit a new inference.") from error


@router.get("/patients/{patient_id}/mm-inputs/", response_model=MultimodalInputs)
async def mm_inputs(ports: P, principal: CanRead, patient_id: PatientIdOfPath) -> Response:
    """List what MM may use for this patient: completed M1 and MG inferences, and biomarker orders that are ready.

    An order is listed if its `job_role` is LIS, its `job_type` BIOMARKER, and its `ocs_status` CONFIRMED or RESULT_READY.
    """
    return json_of(await multimodal.listing(ports, principal.tenant, patient_id))
