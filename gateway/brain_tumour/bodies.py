"""Bodies of requests and responses. Values are never repeated in errors: they may be a patient's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gateway.models import EXAMPLE_ID, JobError, Url

MODEL_NAMES = Literal["M1", "MG", "MM"]
#: A RETRYING job is PROCESSING here; CANCELLED and EXPIRED ones are FAILED, and `error.code` says which.
STATES = Literal["PENDING", "PROCESSING", "COMPLETED", "FAILED"]
#: Ids are parts of paths.
REQUEST_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
PATIENT_ID = r"^[^\s/\\?#%.\x00-\x1f\x7f][^\s/\\?#%\x00-\x1f\x7f]{0,127}$"


def _no_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a boolean is no number")
    return value


RequestId = Annotated[str, Field(pattern=REQUEST_ID, examples=["ai_req_0001"])]
PatientId = Annotated[str, Field(pattern=PATIENT_ID, examples=["P-2026-0007"])]
UploadId = Annotated[str, Field(max_length=64, examples=[EXAMPLE_ID])]
Number = Annotated[float, BeforeValidator(_no_boolean)]
UtcTime = Annotated[datetime, AfterValidator(lambda time: time.astimezone(UTC))]

#: Fields of a request that only some models take.
_OF_MODELS = {
    "M1": {"upload_id", "threshold"},
    "MG": {"upload_id", "sample", "scale"},
    "MM": {"m1_ai_req_id", "mg_ai_req_id", "biomarker_upload_id", "age", "sex", "job_role", "job_type", "ocs_status"},
}


class InferenceRequest(BaseModel):
    """A request for an inference. M1 and MG take a file: `upload_id` of `POST /v1/uploads`, or `file` of a form.

    MM takes what a person chose for this patient (`GET /api/ai/patients/{patient_id}/mm-inputs/`): at least one of
    `m1_ai_req_id`, `mg_ai_req_id` and `biomarker_upload_id`.
    """

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={
            "examples": [
                {"ai_req_id": "ai_req_0001", "model": "M1", "patient_id": "P-2026-0007", "upload_id": EXAMPLE_ID}
            ]
        },
    )

    ai_req_id: RequestId = Field(description="The backend's id of this request. The same id is the same job.")
    model: MODEL_NAMES
    patient_id: PatientId
    callback_url: Url | None = Field(
        None, description="Where the result is POSTed. Default: http://localhost:8000/api/ai/callback/."
    )
    upload_id: UploadId | None = Field(None, description="M1, MG: the MRI volume, or the table of gene expression.")
    threshold: Number | None = Field(None, gt=0, lt=1, description="M1: lesion probability above which a voxel counts.")
    sample: str | None = Field(None, min_length=1, max_length=256, description="MG: the only sample to classify.")
    scale: Literal["auto", "log2", "linear"] | None = Field(None, description="MG: unit of the values.")
    m1_ai_req_id: RequestId | None = Field(None, description="MM: a completed M1 inference of this patient.")
    mg_ai_req_id: RequestId | None = Field(None, description="MM: a completed MG inference of this patient.")
    biomarker_upload_id: UploadId | None = Field(None, description="MM: an eligible biomarker order of this patient.")
    age: Number | None = Field(None, ge=0, le=130, description="MM: years.")
    sex: Literal["female", "male"] | None = Field(None, description="MM.")

    @model_validator(mode="after")
    def _fits_its_model(self) -> Self:
        others = set[str]().union(*_OF_MODELS.values()) - _OF_MODELS[self.model]
        if wrong := sorted(name for name in others if getattr(self, name, None) is not None):
            raise ValueError(f"{self.model} does not take {', '.join(wrong)}")
        return self


class InferenceFields(InferenceRequest):
    """The fields of a form. The last three are of a biomarker order whose table is the form's `file`."""

    job_role: str | None = Field(None, max_length=64, description="MM with a file: LIS.")
    job_type: str | None = Field(None, max_length=64, description="MM with a file: BIOMARKER.")
    ocs_status: str | None = Field(None, max_length=64, description="MM with a file: CONFIRMED or RESULT_READY.")


class InferenceForm(InferenceFields):
    """A request with its file. `file`: the MRI volume, the table of gene expression, or the biomarker order's table."""

    file: bytes


class AcceptedInference(BaseModel):
    """A request that was accepted, now or before under this `ai_req_id`."""

    ai_req_id: str = Field(examples=["ai_req_0001"])
    job_id: str = Field(examples=[EXAMPLE_ID])
    status: STATES = Field(examples=["PENDING"])


class InferenceFile(BaseModel):
    """`url`: relative to this gateway."""

    name: str = Field(examples=["mask.nii.gz"])
    url: str
    size: int
    sha256: str
    content_type: str


class Inference(BaseModel):
    """`result`: what the model found, without files; null unless it is COMPLETED. Times are UTC."""

    ai_req_id: str = Field(examples=["ai_req_0001"])
    job_id: str = Field(examples=[EXAMPLE_ID])
    model: MODEL_NAMES
    patient_id: str
    status: STATES
    result: dict[str, Any] | None
    files: list[InferenceFile]
    error: JobError | None
    created_at: UtcTime
    finished_at: UtcTime | None


class FinishedInference(BaseModel):
    ai_req_id: str
    finished_at: UtcTime | None


class BiomarkerOrder(BaseModel):
    upload_id: str
    filename: str
    created_at: UtcTime
    job_role: str
    job_type: str
    ocs_status: str


class MultimodalInputs(BaseModel):
    """Inputs that MM may use for one patient, newest first: completed M1 and MG inferences, and eligible biomarker orders."""

    patient_id: str
    m1: list[FinishedInference]
    mg: list[FinishedInference]
    biomarkers: list[BiomarkerOrder]
