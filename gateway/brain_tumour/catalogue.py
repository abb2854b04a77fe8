"""The models that a backend names (M1, MG, MM): the processor of each, its inputs, and the names of its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.ids import derived_id
from streams.callback_settings import BACKEND_PORT

#: Where a result is sent, unless the request says otherwise: the backend's own default, rewritten by DJANGO_URL or MAIN_VM_IP.
CALLBACK_URL = f"http://localhost:{BACKEND_PORT}/api/ai/callback/"
#: Type of an upload that is a biomarker order's table.
BIOMARKER = "biomarker"
#: Type of a file that came with a request. No router rule is meant for it: the request itself starts the job.
INFERENCE_INPUT = "inference-input"


@dataclass(frozen=True, slots=True)
class TumourModel:
    """`file`: the field of the processor's input that takes a file. `options`: further fields, named as in the request.
    `kind`: the type of an uploaded file. `file_names`: names of the files, by field of the output, as in the callback shape."""

    name: str
    processor: str
    file: str
    options: tuple[str, ...]
    kind: str
    file_names: Mapping[str, str]


_IMAGES = {
    "mask": "mask.nii.gz",
    "probability": "probability.nii.gz",
    "overlay": "overlay.png",
    "report": "report.json",
}
M1 = TumourModel("M1", "mri", "volume", ("threshold",), INFERENCE_INPUT, _IMAGES)
_TABLES = {"predictions": "predictions.csv", "report": "report.json"}
MG = TumourModel("MG", "gene-expression", "table", ("sample", "scale"), INFERENCE_INPUT, _TABLES)
_FUSION = {"report": "report.json", "picture": "contributions.png"}
MM = TumourModel("MM", "multimodal", "proteins", ("age", "sex"), BIOMARKER, _FUSION)

MODELS: Mapping[str, TumourModel] = {model.name: model for model in (M1, MG, MM)}
BY_PROCESSOR: Mapping[str, TumourModel] = {model.processor: model for model in MODELS.values()}


def job_id_of(tenant: str, ai_req_id: str) -> str:
    """Return the id of the job of a backend's request. All models share it, so one `ai_req_id` never makes two jobs."""
    return derived_id(tenant, "", ai_req_id, "brain-tumour")
